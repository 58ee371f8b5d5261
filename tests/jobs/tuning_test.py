#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tuning jobs as a user has them: the strategies, early stopping, criteria, a supervisor that is killed at any moment, stop and resume,
warm start, what describe, the page and the display show, and `leat suggest`. No test looks at how long anything took."""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, wait_for  # noqa: E402
from job_harness import LONG, JobsTest, s3_source  # noqa: E402

RANGES = {'ContinuousParameterRanges': [{'Name': 'x', 'MinValue': '-1', 'MaxValue': '1'}],
          'IntegerParameterRanges': [{'Name': 'k', 'MinValue': '1', 'MaxValue': '4'}]}
BOWL = """import argparse
p = argparse.ArgumentParser()
p.add_argument('-x', type=float); p.add_argument('-k', type=int)
a = p.parse_args()
print(f'm={(a.x - 0.3) ** 2 + (a.k - 2) ** 2}', flush=True)
"""


class TuningTest(JobsTest):
    def tuning(self, name, script, config=None, ranges=None, jobs=6, parallel=2, **members):
        child = self.spec(name, script)
        child['StaticHyperParameters'] = child.pop('HyperParameters')
        child.pop('TrainingJobName')
        child.update(members.pop('definition', {}))
        request = {
            'HyperParameterTuningJobName': name,
            'HyperParameterTuningJobConfig': {
                'Strategy': 'Random', 'RandomSeed': 7, 'ParameterRanges': ranges or RANGES,
                'HyperParameterTuningJobObjective': {'Type': 'Minimize', 'MetricName': 'm'},
                'ResourceLimits': {'MaxNumberOfTrainingJobs': jobs, 'MaxParallelTrainingJobs': parallel}, **(config or {})},
            'TrainingJobDefinition': child}
        request.update(members)
        return request

    def tune(self, request, *options, check=True):
        return self.leat.run('tune', self.write(request), *options, state_directory=True, timeout=LONG, check=check)

    def study(self, name):
        return json.loads(self.leat.run('tunings', 'describe', name, '--json', state_directory=True).stdout)

    def wait_study(self, name, *statuses):
        return wait_for(lambda: self.study(name)['HyperParameterTuningJobStatus'] in statuses and self.study(name),
                        f'{name} is {statuses}', LONG)

    def kill_supervisor(self):
        pid = self.supervisor_pid(self.leat)
        if pid:
            os.kill(pid, signal.SIGKILL)

    # --- strategies

    def test_bayesian_finds_the_bottom_of_a_bowl(self):
        self.tune(self.tuning('bowl', BOWL, {'Strategy': 'Bayesian'}, jobs=20, parallel=2))
        study = self.study('bowl')
        best = study['BestTrainingJob']
        self.assertEqual(study['HyperParameterTuningJobStatus'], 'Completed')
        self.assertEqual(best['TunedHyperParameters']['k'], '2')
        self.assertLess(best['FinalHyperParameterTuningJobObjectiveMetric']['Value'], 0.01)
        self.assertEqual(study['TrainingJobStatusCounters']['Completed'], 20)
        self.assertEqual(study['ObjectiveStatusCounters'], {'Succeeded': 20, 'Pending': 0, 'Failed': 0})

    def test_hyperband_stops_jobs_and_says_why(self):
        script = BOWL.replace("print(", "for _ in range(9): time.sleep(0.1); print(") + "until('never')\n"
        self.tune(self.tuning('bands', script, {
            'Strategy': 'Hyperband', 'StrategyConfig': {'HyperbandStrategyConfig': {'MinResource': 1, 'MaxResource': 9}}},
            jobs=9))
        study = self.study('bands')
        reasons = [job['LeatStopReason'] for job in study['LeatTrainingJobs'] if 'LeatStopReason' in job]
        self.assertTrue(any('best third' in reason for reason in reasons), reasons)
        self.assertIn('best third', self.leat.run('tunings', 'describe', 'bands', state_directory=True).stdout)

    def test_auto_stops_jobs_that_are_worse_than_the_median(self):
        ranges = {'CategoricalParameterRanges': [{'Name': 'v', 'Values': [str(v) for v in range(8)]}]}
        script = "v = int(sys.argv[-1])\nfor _ in range(4):\n    print(f'm={v}', flush=True); time.sleep(0.2)\nif v == 7: until('never')\n"
        self.tune(self.tuning('auto', script, {'Strategy': 'Grid', 'TrainingJobEarlyStoppingType': 'Auto'},
                              ranges, jobs=8, parallel=1))
        last = self.study('auto')['LeatTrainingJobs'][-1]
        self.assertEqual((last['TunedHyperParameters']['v'], last['TrainingJobStatus']), ('7', 'Stopped'))
        self.assertIn('median', last['LeatStopReason'])

    def test_definitions_take_turns(self):
        first, second = (self.tuning(name, f"print('m={value}', flush=True)\n")
                         for name, value in (('one', 1), ('two', 2)))
        definitions = []
        for name, request in (('one', first), ('two', second)):
            config = request['HyperParameterTuningJobConfig']
            definitions.append({**request['TrainingJobDefinition'], 'DefinitionName': name,
                                'HyperParameterRanges': config['ParameterRanges'],
                                'TuningObjective': config['HyperParameterTuningJobObjective']})
        both = {**first, 'HyperParameterTuningJobName': 'both', 'TrainingJobDefinitions': definitions}
        del both['TrainingJobDefinition']
        for member in ('ParameterRanges', 'HyperParameterTuningJobObjective'):
            del both['HyperParameterTuningJobConfig'][member]
        self.tune(both)
        study = self.study('both')
        self.assertEqual([job['TrainingJobDefinitionName'] for job in study['LeatTrainingJobs']], ['one', 'two'] * 3)
        self.assertEqual(study['BestTrainingJob']['TrainingJobDefinitionName'], 'one')

    def test_a_range_that_is_not_active_is_not_given(self):
        ranges = {'CategoricalParameterRanges': [{'Name': 'opt', 'Values': ['sgd', 'adam']}],
                  'ContinuousParameterRanges': [{'Name': 'momentum', 'MinValue': '0', 'MaxValue': '1',
                                                 'LeatActiveFor': {'Name': 'opt', 'Values': ['sgd']}}]}
        script = "has = '--momentum' in sys.argv\nassert has == ('sgd' in sys.argv), sys.argv\nprint('m=1')\n"
        self.tune(self.tuning('conditional', script, ranges=ranges, jobs=8))
        study = self.study('conditional')
        self.assertEqual(study['TrainingJobStatusCounters']['Completed'], 8)
        self.assertEqual({'momentum' in job['TunedHyperParameters'] for job in study['LeatTrainingJobs']}, {True, False})

    def test_a_warm_start_goes_on_where_its_parent_was(self):
        self.tune(self.tuning('parent', BOWL, {'Strategy': 'Bayesian'}, jobs=12))
        warm = {'WarmStartConfig': {'WarmStartType': 'IdenticalDataAndAlgorithm',
                                    'ParentHyperParameterTuningJobs': [{'HyperParameterTuningJobName': 'parent'}]}}
        self.tune(self.tuning('child', BOWL, {'Strategy': 'Bayesian'}, jobs=3, **warm))
        parent, child = self.study('parent'), self.study('child')
        known = {json.dumps(job['TunedHyperParameters']) for job in parent['LeatTrainingJobs']}
        self.assertFalse(known & {json.dumps(job['TunedHyperParameters']) for job in child['LeatTrainingJobs']})
        tuned = [float(job['TunedHyperParameters']['x']) for job in child['LeatTrainingJobs']]
        self.assertTrue(any(abs(x - 0.3) < 0.1 for x in tuned), tuned)  # where the parent's best are
        values = [study['BestTrainingJob']['FinalHyperParameterTuningJobObjectiveMetric']['Value'] for study in (parent, child)]
        overall = child['OverallBestTrainingJob']
        self.assertEqual(overall['FinalHyperParameterTuningJobObjectiveMetric']['Value'], min(values))
        self.assertEqual(overall['TuningJobName'], ('parent', 'child')[values.index(min(values))])
        for name, message in (('none', 'there is no tuning job none'), ('parent', 'hyperparameters, tuned and static ones')):
            warm['WarmStartConfig']['ParentHyperParameterTuningJobs'][0]['HyperParameterTuningJobName'] = name
            ranges = {'IntegerParameterRanges': RANGES['IntegerParameterRanges']}
            done = self.tune(self.tuning('refused', BOWL, ranges=ranges, **warm), check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)

    # --- the data that they share

    def test_while_the_data_come_from_s3_no_job_is_started_that_would_only_wait(self):
        for i in range(300):
            self.server.put('data', f'shared/{i:03}', b'x' * 20_000)
        script = "mark('began')\nfor name in sorted(os.listdir('/opt/ml/input/data/train')):\n" \
                 "    open('/opt/ml/input/data/train/' + name, 'rb').read()\nmark('ended'); print('m=1', flush=True)\n"
        request = self.tuning('shared', script, jobs=4, parallel=4, definition={'InputDataConfig': [
            {'ChannelName': 'train', 'DataSource': {'FileSystemDataSource': {
                'FileSystemId': 's3://data/shared/', 'FileSystemType': 'FSxLustre', 'FileSystemAccessMode': 'ro', 'DirectoryPath': '/'}}}]})
        before = self.server.gets()
        self.server.faults({'match': {'operation': 'GetObject', 'key_prefix': 'shared/'}, 'count': -1, 'action': {'trickle': 2000}})
        self.leat.run('tune', self.write(request), '--detach', state_directory=True)
        waiting = wait_for(lambda: 'would gain nothing' in self.study('shared').get('LeatWaiting', '') and self.study('shared'),
                           'the plan says why no job is started', LONG)
        self.assertLess(len(waiting['LeatTrainingJobs']), 4)
        self.assertRegex(self.leat.run('tunings', 'describe', 'shared', state_directory=True).stdout, r'waiting: \d+ % of the data is here')
        self.server.control('DELETE', 'faults')
        done = self.wait_study('shared', 'Completed')
        self.assertEqual(done['TrainingJobStatusCounters']['Completed'], 4)
        self.assertNotIn('LeatWaiting', done)
        self.assertEqual(len(self.marked('ended')), 4)
        self.assertLessEqual(self.server.gets() - before, 306)  # each object once, whatever there were of jobs

    def test_an_unchanged_request_is_accelerated(self):
        for i in range(20):
            self.server.put('data', f'copied/{i}', b'x' * 1000)
        script = "for name in os.listdir('/opt/ml/input/data/train'):\n" \
                 "    assert len(open('/opt/ml/input/data/train/' + name).read()) == 1000\n    print('m=1', flush=True)\n"
        request = self.tuning('accelerated', script, jobs=3, definition={
            'InputDataConfig': [{'ChannelName': 'train', 'DataSource': s3_source('s3://data/copied/')}]})
        before = self.server.gets()
        self.tune(request, '--accelerate')
        self.assertEqual(self.study('accelerated')['TrainingJobStatusCounters']['Completed'], 3)
        self.assertEqual(self.server.gets() - before, 20)

    def test_a_job_that_waits_for_room_says_so(self):
        os.makedirs(self.leat.state, exist_ok=True)
        with open(os.path.join(self.leat.state, 'instance-types.json'), 'w') as file:
            json.dump({'ml.whole.machine': {'cpus': 9999}}, file)
        script = "mark('begun')\nif len(open(MARKS + '/begun').readlines()) == 1: until('go')\nprint('m=1')\n"
        request = self.tuning('room', script, jobs=2, definition={
            'ResourceConfig': {'InstanceType': 'ml.whole.machine', 'InstanceCount': 1, 'VolumeSizeInGB': 1}})
        tune = subprocess.Popen([LEAT, 'tune', self.write(request), '--state-dir', self.leat.state], env=self.leat.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)
        self.addCleanup(tune.kill)
        too_late = threading.Timer(LONG, self.touch, ['go'])
        too_late.start()
        self.addCleanup(too_late.cancel)
        self.assertTrue(any('Starting  Waiting for 1 running job to leave room on this machine' in line for line in tune.stdout))
        self.touch('go')
        tune.stdout.read()
        tune.stdout.close()
        self.assertEqual(tune.wait(timeout=LONG), 0)

    # --- endings

    def test_a_target_completes_it(self):
        self.tune(self.tuning('target', BOWL, {'TuningJobCompletionCriteria': {'TargetObjectiveMetricValue': 5}},
                              jobs=100, parallel=1))
        study = self.study('target')
        self.assertEqual(study['HyperParameterTuningJobStatus'], 'Completed')
        self.assertLess(len(study['LeatTrainingJobs']), 100)

    def test_an_objective_that_is_never_printed_is_told(self):
        done = self.tune(self.tuning('mute', "print('accuracy=1')\n"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'No training job told its objective, m: .*leat jobs logs mute-001-')

    def test_all_jobs_failing_ends_it_with_the_reason(self):
        done = self.tune(self.tuning('bad', "sys.exit('no such data')\n", jobs=50, parallel=1), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('no such data', done.stderr)
        self.assertEqual(len(self.study('bad')['LeatTrainingJobs']), 5)

    def test_bad_requests_are_told_all_at_once(self):
        request = self.tuning('wrong', BOWL, {'Strategy': 'Hyperband', 'TrainingJobEarlyStoppingType': 'Auto'}, {
            'ContinuousParameterRanges': [{'Name': 'a', 'MinValue': '0', 'MaxValue': '1', 'ScalingType': 'Logarithmic'},
                                          {'Name': 'b', 'MinValue': '2', 'MaxValue': '1'}],
            'CategoricalParameterRanges': [{'Name': 'c', 'Values': [str(i) for i in range(10000)]}]}, jobs=0)
        done = self.tune(request, check=False)
        self.assertEqual(done.returncode, 2)
        for text in ('needs a MinValue greater than 0', 'must not be greater than MaxValue 1', 'must be Off with Strategy Hyperband',
                     'CategoricalParameterRanges[0].Values', 'MaxNumberOfTrainingJobs', 'StrategyConfig'):
            self.assertIn(text, done.stderr)
        self.assertLess(len(done.stderr), 4000)

    # --- kill -9, stop, resume

    def test_a_supervisor_killed_again_and_again_counts_no_trial_twice(self):
        script = "name = os.environ['TRAINING_JOB_NAME']\nmark('ran', name)\n" + BOWL + "time.sleep(0.4)\n"
        self.tune(self.tuning('killed', script, {'Strategy': 'Bayesian'}, jobs=12, parallel=3), '--detach')
        for ended in range(1, 10, 2):
            wait_for(lambda: sum(job['TrainingJobStatus'] == 'Completed' for job in self.study('killed')['LeatTrainingJobs'])
                     >= ended, f'{ended} jobs have ended', LONG)
            self.kill_supervisor()
        study = self.wait_study('killed', 'Completed')
        names = [job['TrainingJobName'] for job in study['LeatTrainingJobs']]
        self.assertEqual(len(names), 12)
        self.assertEqual(study['TrainingJobStatusCounters']['Completed'], 12)
        self.assertEqual(sorted(self.marked('ran')), sorted(names))
        for name in names:
            self.assertEqual(len(self.samples(name)), 1)

    def test_killed_or_not_the_jobs_are_the_same(self):
        for name in ('plain', 'killed'):
            self.tune(self.tuning(name, BOWL + 'time.sleep(0.3)\n', jobs=6, parallel=1), '--detach')
            if name == 'killed':
                wait_for(lambda: len(self.study(name)['LeatTrainingJobs']) >= 3, 'three jobs', LONG)
                self.kill_supervisor()
            self.wait_study(name, 'Completed')
        tuned = [[job['TunedHyperParameters'] for job in self.study(name)['LeatTrainingJobs']] for name in ('plain', 'killed')]
        self.assertEqual(*tuned)

    def test_stopped_and_resumed(self):
        self.tune(self.tuning('rest', BOWL + "mark('ran')\ntime.sleep(0.3)\n", jobs=6, parallel=1), '--detach')
        self.wait_marked('ran', 2)
        self.leat.run('tunings', 'stop', 'rest', state_directory=True)
        stopped = self.wait_study('rest', 'Stopped')
        self.assertLess(len(stopped['LeatTrainingJobs']), 6)
        self.leat.run('tunings', 'resume', 'rest', state_directory=True)
        done = self.leat.run('tunings', 'follow', 'rest', state_directory=True, timeout=LONG)
        self.assertIn('rest: Completed', done.stdout)
        self.assertEqual(len(self.study('rest')['LeatTrainingJobs']), 6)

    def test_interrupted_it_stops_its_jobs(self):
        path = self.write(self.tuning('cut', "mark('runs')\nprint('m=1', flush=True)\nuntil('never')\n"))
        log = os.path.join(self.scratch, 'cut.log')
        with open(log, 'w') as file:
            tune = subprocess.Popen([LEAT, 'tune', path, '--state-dir', self.leat.state], env=self.leat.environment,
                                    stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.wait_marked('runs', 2)
        tune.send_signal(signal.SIGINT)
        self.assertEqual(tune.wait(LONG), 130)
        study = self.study('cut')
        self.assertEqual(study['HyperParameterTuningJobStatus'], 'Stopped')
        self.assertEqual({job['TrainingJobStatus'] for job in study['LeatTrainingJobs']}, {'Stopped'})

    def test_an_output_that_nobody_reads_holds_up_neither_the_job_nor_the_end(self):
        path = self.write(self.tuning('unread', "for i in range(4000): print(f'm={i}', flush=True)\nmark('ran')\n", jobs=2, parallel=1))
        read, write = os.pipe()  # never read: it fills up
        self.addCleanup(os.close, read)
        tune = subprocess.Popen([LEAT, 'tune', path, '--state-dir', self.leat.state], env=self.leat.environment,
                                stdout=write, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.addCleanup(tune.kill)
        os.close(write)
        self.assertEqual(tune.wait(LONG), 0)
        self.assertEqual(self.study('unread')['HyperParameterTuningJobStatus'], 'Completed')

    # --- what is shown

    def test_the_page_holds_the_study_and_asks_for_nothing(self):
        self.tune(self.tuning('page', BOWL, {'Strategy': 'Bayesian'}, jobs=8))
        path = os.path.join(self.scratch, 'report.html')
        self.leat.run('tunings', 'describe', 'page', '--html', path, state_directory=True)
        with open(path) as file:
            page = file.read()
        self.assertIn(self.study('page')['BestTrainingJob']['TrainingJobName'], page)
        self.assertIsNone(re.search(r'(src|href)="?(https?:)?//', page))

    def test_listed(self):
        self.tune(self.tuning('short', BOWL, jobs=2))
        self.assertRegex(self.leat.run('tunings', 'list', state_directory=True).stdout, r'^short  Completed   2 of 2 done, best ')
        none = self.leat.run('tunings', 'list', '--status', 'Failed', '--name-contains', 'short', state_directory=True)
        self.assertIn('no tuning job is as asked for', none.stdout)
        zero = self.leat.run('tunings', 'list', '--max', '0', state_directory=True, check=False)
        self.assertIn('--max: Value 0 not in range 1 to 1000000', zero.stderr)
        listed = json.loads(self.leat.run('tunings', 'list', '--json', state_directory=True).stdout)
        summary = listed['HyperParameterTuningJobSummaries'][0]
        self.assertEqual((summary['HyperParameterTuningJobName'], summary['Strategy']), ('short', 'Random'))
        missing = self.leat.run('tunings', 'describe', 'none', state_directory=True, check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn('no job is named none', missing.stderr)


class Suggest(JobsTest):
    def ask(self, study, *options, check=True):
        return self.leat.run('suggest', '--study', study, *options, check=check)

    def test_ask_and_tell(self):
        path = os.path.join(self.scratch, 'study.json')
        with open(path, 'w') as file:
            json.dump({'RandomSeed': 3, 'Objective': {'Type': 'Minimize'}, 'ParameterRanges': {
                'ContinuousParameterRanges': [{'Name': 'x', 'MinValue': '-1', 'MaxValue': '1'}]}}, file)
        for number in range(1, 16):
            trial = json.loads(self.ask(path).stdout)
            self.assertEqual(trial['Trial'], number)
            self.ask(path, '--tell', f'{number}={(float(trial["HyperParameters"]["x"]) - 0.3) ** 2}')
        best = json.loads(self.ask(path, '--best').stdout)
        self.assertLess(best['Value'], 1e-3)
        pending = [json.loads(line)['HyperParameters']['x'] for line in self.ask(path, '--count', '3').stdout.splitlines()]
        self.assertEqual(len(set(pending)), 3)
        self.ask(path, '--fail', '16', '--tell', '17=nan')
        again = self.ask(path, '--tell', '16=1', check=False)
        self.assertEqual(again.returncode, 2)
        self.assertIn('trial 16 has been told already', again.stderr)
        self.assertIn('there is no trial 99', self.ask(path, '--tell', '99=1', check=False).stderr)

    def test_a_search_that_began_anew_keeps_its_trials(self):
        path = os.path.join(self.scratch, 'study.json')
        known = [{'HyperParameters': {'x': str(0.5 + number / 1e4)}, 'Status': 'Completed', 'Value': 1} for number in range(100)]
        with open(path, 'w') as file:
            json.dump({'Objective': {'Type': 'Minimize'}, 'Trials': known, 'ParameterRanges': {
                'ContinuousParameterRanges': [{'Name': 'x', 'MinValue': '-1', 'MaxValue': '1'}]}}, file)
        self.ask(path, '--count', '2')
        self.ask(path, '--tell', '102=2')
        self.ask(path, '--count', '2')
        with open(path) as file:
            self.assertEqual([trial.get('Restart') for trial in json.load(file)['Trials'][99:]], [None, None, 1, None, 1])

    def test_misspelt_members_are_told(self):
        path = os.path.join(self.scratch, 'study.json')
        with open(path, 'w') as file:
            json.dump({'Strategi': 'Random', 'Trails': [], 'Objective': {'Type': 'Minimize', 'MetricName': 'loss'}, 'ParameterRanges': {
                'IntegerParameterRanges': [{'Name': 'n', 'MinValue': '1', 'MaxValue': '8'}]}}, file)
        told = self.ask(path).stderr.splitlines()
        self.assertEqual([line.split(': ', 3)[-1] for line in told], [
            "'Strategi' is no member of a study and is ignored; is Strategy meant?",
            "'Trails' is no member of a study and is ignored; is Trials meant?"])

    def test_many_programs_at_once_are_told_different_trials(self):
        path = os.path.join(self.scratch, 'study.json')
        with open(path, 'w') as file:
            json.dump({'Strategy': 'Random', 'Objective': {'Type': 'Minimize'}, 'ParameterRanges': {
                'IntegerParameterRanges': [{'Name': 'n', 'MinValue': '1', 'MaxValue': '8'}]}}, file)
        asked = [subprocess.Popen([LEAT, 'suggest', '--study', path], stdout=subprocess.PIPE, text=True,
                                  env=self.leat.environment) for _ in range(8)]
        values = {json.loads(process.communicate(timeout=LONG)[0])['HyperParameters']['n'] for process in asked}
        self.assertEqual(len(values), 8)
        more = self.ask(path, check=False)
        self.assertEqual(more.returncode, 1)

    def test_the_file_stays_its_owners(self):
        path, link = (os.path.join(self.scratch, name) for name in ('real.json', 'link.json'))
        os.symlink(path, link)
        with open(path, 'w') as file:
            json.dump({'Strategy': 'Grid', 'Objective': {'Type': 'Minimize'}, 'ParameterRanges': {
                'IntegerParameterRanges': [{'Name': 'n', 'MinValue': '1', 'MaxValue': '2'}]},
                'Trials': [{'HyperParameters': {'n': '1'}, 'Status': 'Pending', 'Note': 'mine'}]}, file)
        os.chmod(path, 0o600)
        self.assertEqual(json.loads(self.ask(link).stdout)['HyperParameters'], {'n': '2'})
        self.ask(path, '--tell', '1=0.5')
        self.assertTrue(os.path.islink(link))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path) as file:
            trials = json.load(file)['Trials']
        self.assertEqual(trials[0], {'HyperParameters': {'n': '1'}, 'Status': 'Completed', 'Value': 0.5, 'Note': 'mine'})
        self.assertEqual(len(trials), 2)
        os.remove(path + '.lock')
        os.chmod(self.scratch, 0o500)
        self.assertEqual(json.loads(self.ask(link, '--best').stdout)['Trial'], 1)
        self.assertFalse(os.path.exists(path + '.lock'))
        os.chmod(self.scratch, 0o700)

    def test_a_bad_study_is_refused(self):
        path = os.path.join(self.scratch, 'study.json')
        for text, message in (('{', 'no JSON'), ('{}', 'ParameterRanges is missing'), ('{}', 'Objective is missing'), ('[]', 'JSON object')):
            with open(path, 'w') as file:
                file.write(text)
            done = self.ask(path, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(message, done.stderr)


if __name__ == '__main__':
    unittest.main()

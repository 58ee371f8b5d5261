#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--pass-credentials: scripts that use boto3 with credentials of the one who submitted them, on s3lab, which checks signatures, and
on Ceph's radosgw, whose STS makes temporary ones. What reaches nobody: the caller's secret on the disk, in /proc and in logs."""
import contextlib
import json
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import RadosGateway, SECRET_KEY, wait_for  # noqa: E402
from job_harness import LONG, JobsTest  # noqa: E402

# boto3 of Debian 12 reads no AWS_ENDPOINT_URL_S3.
BOTO = """import boto3, botocore.exceptions
from botocore.config import Config
import urllib.request, urllib.error
def client():
    return boto3.session.Session().client('s3', endpoint_url=os.environ['AWS_ENDPOINT_URL_S3'],
                                          config=Config(s3={'addressing_style': 'path'}))
def look(mark_as):
    s3 = client()
    keys = [entry['Key'] for entry in s3.list_objects_v2(Bucket='data').get('Contents', [])]
    body = s3.get_object(Bucket='data', Key='a/x')['Body'].read().decode()
    mark(mark_as, json.dumps([s3._request_signer._credentials.method, keys, body]))
def status(url, token):
    request = urllib.request.Request(url, headers={'Authorization': token})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer: return answer.status
    except urllib.error.HTTPError as error: return error.code
    except OSError: return 0
MINE = [os.environ.get('AWS_CONTAINER_CREDENTIALS_FULL_URI', ''), os.environ.get('AWS_CONTAINER_AUTHORIZATION_TOKEN', '')]
"""
LOOKED = ['container-role', ['a/x', 'b'], 'content of a/x']


class CredentialsTest(JobsTest):
    def setUp(self):
        super().setUp()
        self.leat.environment['HOME'] = self.scratch  # where no ~/.aws is
        for key in ('a/x', 'b'):
            self.server.put('data', key, f'content of {key}'.encode())

    def spec(self, name, script, **members):
        return super().spec(name, BOTO + script, **members)

    def submit(self, request, *arguments):
        return self.leat.run('train', self.write(request), '--detach', *arguments, state_directory=True)

    def endpoint_file(self, name):
        return os.path.join(self.leat.state, 'jobs', name, 'credentials-endpoint')

    def without_keys(self):
        """The same state directory from a shell without credentials."""
        leat = self.another_leat('state')
        leat.environment = {name: value for name, value in self.leat.environment.items()
                            if name not in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY')}
        return leat


class OnS3Lab(CredentialsTest):
    def places_of_secret(self):
        """Files of the state directory, and what /proc shows of Leat's processes and the jobs'."""
        found = []
        for folder, _, names in os.walk(self.leat.state):
            for name in names:
                with contextlib.suppress(OSError), open(os.path.join(folder, name), 'rb') as file:
                    if SECRET_KEY.encode() in file.read():
                        found.append(os.path.join(folder, name))
        for pid in filter(str.isdigit, os.listdir('/proc')):
            for name in ('environ', 'cmdline'):
                with contextlib.suppress(OSError), open(f'/proc/{pid}/comm') as comm, open(f'/proc/{pid}/{name}', 'rb') as file:
                    # The test server is started with its key as an argument; root reads the environment of `leat` itself.
                    if SECRET_KEY.encode() in file.read() and comm.read().strip() not in ('s3lab', 'leat'):
                        found.append(f'/proc/{pid}/{name}')
        return found

    def test_a_script_lists_and_reads_a_bucket_and_the_secret_stays_with_leat(self):
        request = self.spec('passed', "look('looked'); mark('mine', json.dumps(MINE)); until('go')\n",
                            ResourceConfig={'InstanceType': 'local', 'InstanceCount': 2})
        submitted = self.submit(request, '--pass-credentials')
        self.assertEqual([json.loads(line) for line in self.wait_marked('looked', 2)], [LOOKED] * 2)
        mine = [json.loads(line) for line in self.wait_marked('mine', 2)]
        self.assertEqual(mine[0], mine[1], 'one endpoint for all hosts')
        self.assertTrue(mine[0][0].startswith('http://127.0.0.1:'))
        self.assertEqual(os.stat(self.endpoint_file('passed')).st_mode & 0o777, 0o600)
        self.assertEqual(self.places_of_secret(), [])
        self.touch('go')
        described = self.wait_status('passed', 'Completed')
        self.assertIn('AWS_ENDPOINT_URL_STS', ' '.join(described['LeatWarnings']))
        self.assertEqual(self.places_of_secret(), [])
        self.assertNotIn(SECRET_KEY.encode(), self.logs('passed') + submitted.stdout.encode())

        def is_gone():
            with socket.socket() as probe:
                port = int(mine[0][0].split(':')[2].split('/')[0])
                return probe.connect_ex(('127.0.0.1', port)) != 0 and not os.path.exists(self.endpoint_file('passed'))
        wait_for(is_gone, 'the endpoint ends with the job', LONG)

    def test_without_the_flag_there_are_none(self):
        self.submit(self.spec('plain', """try: look('looked')
except botocore.exceptions.NoCredentialsError: mark('none', json.dumps(MINE))
"""))
        self.wait_status('plain', 'Completed')
        self.assertEqual(self.marked('none'), ['["", ""]'])
        self.assertEqual(self.marked('looked'), [])
        self.assertFalse(os.path.exists(self.endpoint_file('plain')))

    def keys_in_a_file(self):
        os.makedirs(os.path.join(self.scratch, '.aws'))
        with open(os.path.join(self.scratch, '.aws', 'credentials'), 'w') as file:
            file.write('[default]\naws_access_key_id = AKFILE\naws_secret_access_key = of-the-file\n')

    def test_without_the_flag_those_of_files_are_kept_from_it(self):
        self.keys_in_a_file()
        self.submit(self.spec('files', """found = boto3.session.Session().get_credentials()
mark('found', json.dumps([found and found.access_key, os.listdir(os.path.expanduser('~/.aws')), os.environ['AWS_EC2_METADATA_DISABLED']]))
"""))
        self.wait_status('files', 'Completed')
        self.assertEqual(json.loads(self.marked('found')[0]), [None, [], 'true'])

    def test_the_region_of_a_profile_reaches_the_script_and_so_does_the_endpoint(self):
        config = os.path.join(self.scratch, 'config')
        with open(config, 'w') as file:
            file.write('[default]\nregion = eu-central-1\n')
        self.leat.environment.pop('AWS_REGION')
        self.leat.environment['AWS_CONFIG_FILE'] = config
        names = ['AWS_REGION', 'AWS_DEFAULT_REGION', 'SAGEMAKER_REGION', 'S3_ENDPOINT_URL', 'AWS_CONFIG_FILE']
        self.submit(self.spec('place', f"mark('place', json.dumps([os.environ.get(name) for name in {names}]))\n"))
        self.wait_status('place', 'Completed')
        self.assertEqual(json.loads(self.marked('place')[0]), ['eu-central-1'] * 3 + [self.server.endpoint, '/dev/null'])

    def test_after_a_kill_of_the_supervisor_nothing_is_uploaded_as_another(self):
        self.submit(self.spec('kept', "mark('begun'); until('go')\nopen('/opt/ml/model/m', 'w').write('x')\n"))
        self.wait_marked('begun')
        self.kill_supervisor()
        self.keys_in_a_file()
        without = self.without_keys()
        self.describe('kept', without)
        self.touch('go')

        def is_waiting():
            described = self.describe('kept', without)
            self.assertNotIn(described['TrainingJobStatus'], ('Completed', 'Failed'), described)
            return 'Waiting for AWS credentials' in described['SecondaryStatusTransitions'][-1]['StatusMessage']
        wait_for(is_waiting, 'the upload waits for the credentials of the submitter', LONG)
        self.describe('kept')  # brings them
        self.wait_status('kept', 'Completed')

    def test_the_database_of_jobs_is_the_users_own(self):
        self.submit(self.spec('private', "until('go')\n"))
        modes = {name: os.stat(os.path.join(self.leat.state, name)).st_mode & 0o777
                 for name in os.listdir(self.leat.state) if name.startswith('jobs.db')}
        self.assertEqual(set(modes.values()), {0o600}, modes)
        self.touch('go')
        self.wait_status('private', 'Completed')

    def test_a_token_opens_its_own_job_only(self):
        script = """mark(os.environ['TRAINING_JOB_NAME'], json.dumps(MINE)); until('go')
if os.environ['TRAINING_JOB_NAME'] == 'one':
    other = json.loads(open(os.path.join(MARKS, 'two')).read())
    mark('got', json.dumps([status(*MINE), status(other[0], MINE[1]), status(MINE[0], other[1]), status(*other)]))
    mark('done')
else: until('done')
"""
        for name in ('one', 'two'):
            self.submit(self.spec(name, script), '--pass-credentials')
            self.wait_marked(name)
        self.touch('go')
        self.wait_status('one', 'Completed')
        self.assertEqual(json.loads(self.marked('got')[0]), [200, 401, 401, 200])

    def test_after_a_kill_of_the_supervisor_the_script_gets_them_again(self):
        self.submit(self.spec('taken-up', """look('before'); until('killed')
mark('dead', str(status(*MINE))); until('without')
while (found := status(*MINE)) != 503: time.sleep(0.05)
mark('unknown', str(found)); until('with')
look('after')
"""), '--pass-credentials')
        self.wait_marked('before')
        self.kill_supervisor()
        self.touch('killed')
        self.assertEqual(self.wait_marked('dead'), ['0'])
        without = self.without_keys()
        self.describe('taken-up', without)
        self.touch('without')
        self.assertEqual(self.wait_marked('unknown'), ['503'])
        self.assertEqual(self.describe('taken-up')['TrainingJobStatus'], 'InProgress')  # brings some
        self.touch('with')
        self.wait_status('taken-up', 'Completed')
        self.assertEqual([json.loads(line) for line in self.marked('before') + self.marked('after')], [LOOKED] * 2)
        self.assertEqual(self.places_of_secret(), [])

    def test_who_has_none_cannot_pass_any(self):
        without = self.without_keys()
        request = self.write(self.spec('refused', ''))
        done = without.run('train', request, '--detach', '--pass-credentials', state_directory=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('--pass-credentials needs credentials of yours', done.stderr)
        self.assertIn('AWS_ACCESS_KEY_ID', done.stderr)
        self.assertEqual(json.loads(without.run('jobs', 'list', '--json', state_directory=True).stdout)['TrainingJobSummaries'], [])

    def test_the_jobs_of_a_study_get_them(self):
        job = self.spec('child', "look('looked'); print('m=1')\n")
        definition = {key: value for key, value in job.items() if key not in ('TrainingJobName', 'HyperParameters')}
        definition['StaticHyperParameters'] = job['HyperParameters']
        path = self.write({
            'HyperParameterTuningJobName': 'study',
            'HyperParameterTuningJobConfig': {
                'Strategy': 'Grid', 'ResourceLimits': {'MaxParallelTrainingJobs': 1},
                'HyperParameterTuningJobObjective': {'Type': 'Maximize', 'MetricName': 'm'},
                'ParameterRanges': {'CategoricalParameterRanges': [{'Name': 'z', 'Values': ['1', '2']}]}},
            'TrainingJobDefinition': definition})
        self.leat.run('tune', path, '--pass-credentials', state_directory=True, timeout=LONG)
        self.assertEqual([json.loads(line) for line in self.marked('looked')], [LOOKED] * 2)


class OnRadosGateway(CredentialsTest):
    """Its STS exchanges the keys: what the script has is not the caller's."""

    @classmethod
    def make_server(cls):
        server = RadosGateway(cls.class_scratch)
        server.control = lambda *arguments: None  # it has no faults to end
        for bucket in ('data', 'out'):
            server.bucket(bucket)
        import boto3
        boto3.client('iam', endpoint_url=server.endpoint, region_name='us-east-1',
                     aws_access_key_id=server.environment['AWS_ACCESS_KEY_ID'],
                     aws_secret_access_key=server.environment['AWS_SECRET_ACCESS_KEY']).put_user_policy(
            UserName='leat', PolicyName='session-tokens', PolicyDocument=json.dumps({
                'Version': '2012-10-17',
                'Statement': [{'Effect': 'Allow', 'Action': 'sts:GetSessionToken', 'Resource': '*'}]}))
        return server

    def test_long_term_keys_are_exchanged(self):
        self.leat.environment['AWS_ENDPOINT_URL_STS'] = self.server.endpoint
        self.submit(self.spec('exchanged', """look('looked')
with urllib.request.urlopen(urllib.request.Request(MINE[0], headers={'Authorization': MINE[1]})) as answer:
    given = json.load(answer)
mark('given', json.dumps([given['AccessKeyId'], bool(given['Token']), given['SecretAccessKey']]))
"""), '--pass-credentials')
        described = self.wait_status('exchanged', 'Completed')
        self.assertEqual(json.loads(self.marked('looked')[0]), LOOKED)
        key, has_token, secret = json.loads(self.marked('given')[0])
        self.assertTrue(has_token)
        self.assertNotEqual(key, self.leat.environment['AWS_ACCESS_KEY_ID'])
        self.assertNotEqual(secret, self.leat.environment['AWS_SECRET_ACCESS_KEY'])
        self.assertNotIn('AWS_ENDPOINT_URL_STS', ' '.join(described.get('LeatWarnings', [])))

    def test_an_sts_that_refuses_is_told_of_at_once(self):
        self.leat.environment.update(AWS_ENDPOINT_URL_STS=self.server.endpoint, AWS_SECRET_ACCESS_KEY='another')
        done = self.leat.run('train', self.write(self.spec('refused', '')), '--pass-credentials', state_directory=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('does not exchange', done.stderr)


if __name__ == '__main__':
    unittest.main()

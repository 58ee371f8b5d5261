#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bench/run compares Leat with: other ways to read a bucket as files, each with the settings that its own documentation
gives for data that does not change, and downloaders, which copy everything first. Run by itself it lists them.

Settings follow three rules. Metadata is kept as long as a peer allows, as the data never changes. A check of cached data that is
on by default stays on. Nothing is set that helps one workload (many small files, large sequential reads) and harms the other."""
import atexit
import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT = os.path.join(TOP, 'build/peers/bin')
MOUNT_DEADLINE_S, END_PATIENCE_S, PREPARE_DEADLINE_S = 60, 20, 3600
A_YEAR_S = 31_536_000
# rclone and others read these even for plain HTTP on loopback, and fail or go to a proxy.
UNWANTED = ('AWS_CA_BUNDLE', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy')


class PeerError(RuntimeError):
    """A peer did not do what was asked; the text has its last words."""


def program(name):
    """The newest kind first: what bench/install-peers.sh built, then PATH."""
    return shutil.which(name, path=BUILT) or shutil.which(name)


@functools.lru_cache(maxsize=None)
def said(*command):
    """What a program prints about itself; its version never changes during a run."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, check=False)
        return done.stdout.strip()
    return ''


def numbers(text):
    """'1.60.1' of 'rclone v1.60.1-DEV'."""
    found = re.search(r'\d+(\.\d+)+', text)
    return found.group(0) if found else 'unknown'


def at_least(version, *wanted):
    return tuple(int(part) for part in re.findall(r'\d+', version)) >= wanted


def environment_for(s3, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith('AWS_') and name not in UNWANTED}
    given = {name: value for name, value in s3.environment.items() if name not in UNWANTED}
    return {**kept, 'AWS_REGION': 'us-east-1', 'AWS_EC2_METADATA_DISABLED': 'true',
            'NO_PROXY': '127.0.0.1', 'no_proxy': '127.0.0.1', **given, **more}


def region_of(s3):
    return s3.environment.get('AWS_REGION', 'us-east-1')


def last_words(path, length=400):
    with contextlib.suppress(OSError), open(path, errors='replace') as log:
        return ' '.join(log.read()[-length:].split())
    return ''


def is_mounted(path):
    """Without touching the file system, which may hang when its server has died."""
    escaped = os.path.realpath(path).replace('\\', '\\134').replace(' ', '\\040')
    with open('/proc/self/mountinfo') as mounts:
        return any(line.split()[4] == escaped for line in mounts)


def unmount_path(path, lazily=False):
    fusermount = program('fusermount3') or program('fusermount')
    commands = [['umount', '-l'] if lazily else ['umount']] if os.getuid() == 0 else [[fusermount, '-uz' if lazily else '-u']]
    return all(subprocess.run([*command, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                              timeout=END_PATIENCE_S).returncode == 0 for command in commands)


def children_of(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f'/proc/{pid}/task'):
            with contextlib.suppress(OSError), open(f'/proc/{pid}/task/{task}/children') as children:
                found += [int(word) for word in children.read().split()]
    return found


def with_descendants(pid):
    return [pid] + [below for child in children_of(pid) for below in with_descendants(child)]


class Process:
    """A server in a session of its own, ended by its id with all it started."""

    def __init__(self, command, environment, log_path):
        with open(log_path, 'a') as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        self.log_path = log_path
        self.name = os.path.basename(command[0])

    def alive(self):
        return self.process.poll() is None

    def pids(self):
        return with_descendants(self.process.pid) if self.alive() else []

    def wait_until(self, condition, what, deadline_s=MOUNT_DEADLINE_S):
        deadline = time.monotonic() + deadline_s
        while not condition():
            if not self.alive():
                raise PeerError(f'{self.name} ended with {self.process.returncode}: {last_words(self.log_path)}')
            if time.monotonic() > deadline:
                raise PeerError(f'{self.name}: {what} not after {deadline_s} s: {last_words(self.log_path)}')
            time.sleep(0.02)

    def end(self):
        """A server that has been unmounted ends by itself; one that does not is told to, then made to."""
        pids = self.pids()
        for sign in (None, signal.SIGTERM, signal.SIGKILL):
            if sign:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_PATIENCE_S if sign else 3)
                return


class Peer:
    """One way to read a bucket as files. Life: prepare, then any number of mount, restart..., unmount; close at the end.
    Used by one thread."""
    name = kind = ''
    program_name = ''
    get_it = ''             # the argument of bench/install-peers.sh
    caches = False          # keeps data on the local disk
    keeps_caches = False    # what is there is found again after restart()
    settle_s = 0            # how long it may still write to its disk cache after a read
    arguments = ()          # the settings that matter, as given on its command line
    version_arguments = ('--version',)

    def __init__(self):
        self.server = self.mountpoint = self.scratch = self.s3 = self.bucket = None

    @property
    def version(self):
        return numbers(said(self.program, *self.version_arguments)) if self.program else 'not here'

    @property
    def program(self):
        return program(self.program_name)

    @property
    def settings(self):
        return ' '.join(self.arguments)

    def available(self):
        """None when it can be used, else what is missing and how to get it."""
        if not self.program:
            return f'no {self.program_name} here: bench/install-peers.sh {self.get_it}'
        if not os.access('/dev/fuse', os.R_OK | os.W_OK):
            return 'no access to /dev/fuse: load the fuse module and give this user access to it'
        return None

    def prepare(self, s3, bucket, keys):
        """Copies the data into a format of the peer's own, where it has one. Slow; not to be timed."""

    def command(self, cache):
        """The command that serves the mount in the foreground; `cache` is a directory."""
        raise NotImplementedError

    def environment(self):
        return environment_for(self.s3)

    def mount(self, s3, bucket, mountpoint, scratch):
        """Mounts with empty caches below `scratch`; returns when files can be opened."""
        if self.server:
            raise PeerError(f'{self.name}: still mounted on {self.mountpoint}')
        self.s3, self.bucket, self.mountpoint, self.scratch = s3, bucket, mountpoint, scratch
        os.makedirs(mountpoint, exist_ok=True)
        os.makedirs(scratch, exist_ok=True)
        shutil.rmtree(self.cache, ignore_errors=True)
        self.start()

    @property
    def cache(self):
        return os.path.join(self.scratch, self.name.replace(' ', '-') + '-cache')

    def start(self):
        os.makedirs(self.cache, exist_ok=True)
        log_path = os.path.join(self.scratch, self.name.replace(' ', '-') + '.log')
        self.server = Process(self.command(self.cache), self.environment(), log_path)
        try:
            self.server.wait_until(lambda: is_mounted(self.mountpoint), 'mounted')
            self.server.wait_until(self.answers, 'answers')
        except PeerError:
            self.stop()
            raise

    def answers(self):
        with contextlib.suppress(OSError):
            os.stat(self.path(self.mountpoint, self.bucket))
            return True
        return False

    def path(self, mountpoint, bucket):
        """Where the bucket's objects appear."""
        return mountpoint

    def pids(self):
        """The processes that serve the mount, for their CPU time; others after restart()."""
        return self.server.pids() if self.server else []

    def restart(self):
        """Unmounts and mounts again. What the peer had in memory is gone; its disk cache stays where keeps_caches is true."""
        time.sleep(self.settle_s)
        self.stop()
        self.start()

    def stop(self):
        if not self.server:
            return
        deadline = time.monotonic() + END_PATIENCE_S
        while is_mounted(self.mountpoint) and not unmount_path(self.mountpoint):
            if time.monotonic() > deadline:
                unmount_path(self.mountpoint, lazily=True)
                break
            time.sleep(0.1)
        self.server.end()
        self.server = None
        if is_mounted(self.mountpoint):
            unmount_path(self.mountpoint, lazily=True)

    def unmount(self, keep_cache=False):
        self.stop()
        if self.scratch and not keep_cache:
            shutil.rmtree(self.cache, ignore_errors=True)

    def close(self):
        """Ends what outlives a mount."""
        self.unmount()


class S3fs(Peer):
    """Sources: s3fs(1) of 1.90."""
    name, kind, program_name, get_it = 's3fs', 'mount', 's3fs', 's3fs'
    # Requests: without enable_noobj_cache every look-up of a name lists; max_stat_cache_size must exceed the number of files.
    # parallel_count is also the number of range requests for one large object, although s3fs(1) speaks of uploads alone.
    # Kernel: kernel_cache, entry_timeout and attr_timeout are libfuse's (fuse(8)); max_background is 12 otherwise.
    # notsup_compat_dir would save requests, but then `data/000001` without an object `data/` has no directory.
    options = ('parallel_count=16', 'multireq_max=64', 'enable_noobj_cache', 'max_stat_cache_size=2000000',
               f'stat_cache_expire={A_YEAR_S}', 'kernel_cache', f'entry_timeout={A_YEAR_S}', f'attr_timeout={A_YEAR_S}',
               'max_background=1000', 'listobjectsv2', 'umask=0022', 'ro')

    @property
    def settings(self):
        return '-o ' + ','.join(self.options)

    def command(self, cache):
        own = [*self.options, f'url={self.s3.endpoint}', f'endpoint={region_of(self.s3)}', 'use_path_request_style', 'sigv4']
        # Without use_cache an open file still has a temporary one.
        own += [f'use_cache={cache}'] if self.caches else [f'tmpdir={cache}']
        return [self.program, self.bucket, self.mountpoint, '-f', *(word for option in own for word in ('-o', option))]


class S3fsCache(S3fs):
    name, caches, keeps_caches = 's3fs use_cache', True, True

    @property
    def settings(self):
        return '-o use_cache=DIRECTORY,' + ','.join(self.options)


def rclone_environment(s3):
    """A remote called `lab` from the environment, so that no file holds a secret: rclone's manual, 'Environment Variables'."""
    return environment_for(s3, RCLONE_CONFIG_LAB_TYPE='s3', RCLONE_CONFIG_LAB_PROVIDER='Other', RCLONE_CONFIG_LAB_ENV_AUTH='true',
                           RCLONE_CONFIG_LAB_ENDPOINT=s3.endpoint, RCLONE_CONFIG_LAB_REGION=region_of(s3),
                           RCLONE_CONFIG_LAB_FORCE_PATH_STYLE='true')


class Rclone(Peer):
    """Sources: rclone's manual, 'rclone mount', 'VFS Performance', and the S3 backend's 'Avoiding HEAD requests'."""
    name, kind, program_name, get_it = 'rclone mount', 'mount', 'rclone', 'rclone'
    version_arguments = ('version',)
    cache_mode = ('--vfs-cache-mode', 'off')
    # S3 'benefits hugely' from --no-modtime: without it each stat is a HEAD; --use-server-modtime does the same for the times
    # that the VFS cache keeps. --s3-no-head-object spares the HEAD before each GET. --attr-timeout may be long where nothing else
    # changes the files. --max-read-ahead asks the kernel for larger requests. --transfers would count for uploads alone.
    common = ('--read-only', '--no-modtime', '--use-server-modtime', '--no-checksum', '--s3-no-head-object', '--dir-cache-time',
              '8760h', '--attr-timeout', '8760h', '--poll-interval', '0', '--max-read-ahead', '1Mi', '--buffer-size', '16Mi')

    @property
    def arguments(self):
        # 'Chunked reading' in rclone 1.68 and later: parallel streams make up for latency, with chunks of 4 to 64 MiB.
        streams = ('--vfs-read-chunk-streams', '16', '--vfs-read-chunk-size', '4Mi') if at_least(self.version, 1, 68) else ()
        return (*self.cache_mode, *self.common, *streams)

    def command(self, cache):
        return [self.program, 'mount', f'lab:{self.bucket}', self.mountpoint, '--config=', '--cache-dir', cache, *self.arguments]

    def environment(self):
        return rclone_environment(self.s3)


class RcloneFull(Rclone):
    name, caches, keeps_caches = 'rclone mount vfs full', True, True
    # --vfs-fast-fingerprint: 'recommended if using the VFS cache over ... S3': a cached file is known by its size alone here.
    cache_mode = ('--vfs-cache-mode', 'full', '--vfs-fast-fingerprint', '--vfs-cache-max-age', '8760h')


class Redis:
    """A Redis of our own: on a socket in a directory of its own (a socket's path has at most 107 bytes), without persistence."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix='leat-redis-')
        self.socket = os.path.join(self.directory, 'socket')
        self.used = 0
        command = [program('redis-server'), '--port', '0', '--unixsocket', self.socket, '--save', '', '--appendonly', 'no',
                   '--databases', '256', '--dir', self.directory]
        self.process = Process(command, dict(os.environ), os.path.join(self.directory, 'log'))
        self.process.wait_until(lambda: os.path.exists(self.socket), 'listens')

    def database(self):
        self.used += 1
        return f'unix://{self.socket}?db={self.used % 256}'

    def close(self):
        self.process.end()
        shutil.rmtree(self.directory, ignore_errors=True)


class JuiceFS(Peer):
    """Sources: JuiceFS's documents 'Cache', 'Command reference' and 'How to set up object storage', version 1.4.

    It reads its own format only: prepare() makes a volume in a bucket of the same S3 server and copies the objects into it."""
    name, kind, program_name, get_it, caches, keeps_caches = 'JuiceFS', 'mount', 'juicefs', 'juicefs', True, True
    # 'For read intensive (or read-only) scenarios, such as AI model training', 'Cache' recommends --open-cache; its limit of
    # 10,000 files is lifted. The kernel caches names for 1 s otherwise. --buffer-size bounds read-ahead (300 MiB otherwise).
    # --max-downloads is 200 already; --prefetch (1) and --verify-cache-checksum (extend) stay. Background jobs are off.
    arguments = ('--read-only', '--open-cache', str(A_YEAR_S), '--open-cache-limit', '0', '--attr-cache', str(A_YEAR_S),
                 '--entry-cache', str(A_YEAR_S), '--dir-entry-cache', str(A_YEAR_S), '--negative-entry-cache', str(A_YEAR_S),
                 '--readdir-cache', '--buffer-size', '1024', '--max-downloads', '200', '--cache-size', '1048576',
                 '--free-space-ratio', '0.05', '--no-bgjob', '--backup-meta', '0', '--no-usage-report')

    settle_s = 3

    def __init__(self):
        super().__init__()
        self.redis = None
        self.volumes = {}  # of a bucket: Redis's address, the volume's bucket

    def available(self):
        missing = super().available()
        if not missing and not program('redis-server'):
            return 'no redis-server here: bench/install-peers.sh juicefs'
        return missing

    @property
    def settings(self):
        redis = numbers(said(program('redis-server'), '--version')) if program('redis-server') else 'not here'
        return f'Redis {redis} on a unix socket, blocks of 4 MiB; ' + ' '.join(self.arguments)

    def run(self, s3, log_path, *arguments):
        keys = {'ACCESS_KEY': s3.environment['AWS_ACCESS_KEY_ID'], 'SECRET_KEY': s3.environment['AWS_SECRET_ACCESS_KEY']}
        environment = environment_for(s3, **keys, **{f'MINIO_{name}': value for name, value in keys.items()},
                                      MINIO_REGION=region_of(s3), volume=arguments[0])
        with open(log_path, 'a') as log:
            done = subprocess.run([self.program, *arguments[1:]], env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, timeout=PREPARE_DEADLINE_S, check=False)
        if done.returncode:
            raise PeerError(f'juicefs {arguments[1]}: exit {done.returncode}: {last_words(log_path)}')

    def prepare(self, s3, bucket, keys):
        if not self.redis:
            self.redis = Redis()
            atexit.register(self.close)
        log_path = os.path.join(self.redis.directory, f'prepare-{bucket}.log')
        address, own = self.redis.database(), f'juicefs-{os.getpid()}-{self.redis.used}'
        # Their type 'minio' is S3 with path-style addresses over plain HTTP.
        self.run(s3, log_path, address, 'format', '--storage', 'minio', '--bucket', f'{s3.endpoint}/{own}', '--trash-days', '0',
                 address, own)
        names = os.path.join(self.redis.directory, f'keys-{bucket}')
        with open(names, 'w') as file:
            file.writelines(f'{key}\n' for key in keys)
        # 'Sync without mount point': jfs://NAME, with the address in the environment variable NAME.
        source = s3.endpoint.split('://', 1)[1]
        self.run(s3, log_path, address, 'sync', '--files-from', names, '--threads', '32', '--no-https',
                 f'minio://{source}/{bucket}/', 'jfs://volume/')
        self.volumes[bucket] = address, own

    def command(self, cache):
        if self.bucket not in self.volumes:
            raise PeerError(f'JuiceFS: {self.bucket} was not prepared')
        address, own = self.volumes[self.bucket]
        # --bucket: the server may have another port by now. It stays in the foreground without -d.
        return [self.program, 'mount', address, self.mountpoint, '--no-syslog', '--bucket', f'{self.s3.endpoint}/{own}',
                '--cache-dir', cache, *self.arguments]

    def pids(self):
        return super().pids() + (self.redis.process.pids() if self.redis and self.server else [])

    def close(self):
        super().close()
        if self.redis:
            self.redis.close()
        self.redis, self.volumes = None, {}


class GeeseFS(Peer):
    """Sources: GeeseFS's README ('Memory Limit', 'Maximizing Throughput') and `geesefs --help`, 0.43.8.

    Its disk cache takes what does not fit into memory, and is not found again by another process."""
    name, kind, program_name, get_it, caches = 'GeeseFS', 'mount', 'geesefs', 'geesefs', True
    # --memory-limit: the README's value for much bandwidth. --entry-limit: 'one metadata entry uses ~1 KB', 100,000 otherwise.
    # Read-ahead stays: 5 MB, and 100 MB in parallel parts of 20 MB once a read is long and linear ('optimal', says the README).
    # --no-expire-multipart and --no-detect only spare requests at the start, which s3lab does not answer.
    arguments = ('--memory-limit', '4000', '--entry-limit', '2000000', '--stat-cache-ttl', '8760h', '--list-type', '2',
                 '--no-checksum', '--no-detect', '--no-expire-multipart', '--no-specials', '--disable-xattr',
                 '--max-disk-cache-fd', '4096')

    def command(self, cache):
        return [self.program, '-f', '--endpoint', self.s3.endpoint, '--region', region_of(self.s3), '--cache', cache,
                *self.arguments, '--print-stats', '0', '-o', 'ro', self.bucket, self.mountpoint]


class Mountpoint(Peer):
    """Sources: Mountpoint's CONFIGURATION.md, 'Caching configuration': 'indefinite' is for a bucket that does not change.

    Its disk cache is emptied at each start."""
    name, kind, program_name, get_it, caches = 'Mountpoint', 'mount', 'mount-s3', 'mountpoint', True
    # --max-threads: 16 otherwise; 'you can improve performance' where an application makes more concurrent reads than that.
    arguments = ('--read-only', '--metadata-ttl', 'indefinite', '--max-threads', '64')

    def command(self, cache):
        return [self.program, self.bucket, self.mountpoint, '--foreground', '--endpoint-url', self.s3.endpoint,
                '--force-path-style', '--region', region_of(self.s3), '--cache', cache, *self.arguments]


class Downloader:
    """Copies all objects below a prefix to a directory before anything is read: what SageMaker calls File mode."""
    name = version = settings = ''

    def available(self):
        raise NotImplementedError

    def command(self, s3, bucket, prefix, destination):
        raise NotImplementedError

    def environment(self, s3):
        return environment_for(s3)

    def download(self, s3, bucket, prefix, destination):
        """`destination` gets DESTINATION/KEY-without-PREFIX. Raises PeerError when not everything arrived."""
        os.makedirs(destination, exist_ok=True)
        done = subprocess.run(self.command(s3, bucket, prefix, destination), env=self.environment(s3), check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=PREPARE_DEADLINE_S)
        if done.returncode:
            raise PeerError(f'{self.name}: exit {done.returncode}: {" ".join(done.stderr[-400:].split())}')


class RcloneCopy(Downloader):
    """Sources: rclone's manual, 'rclone copy' and the S3 backend's 'Avoiding HEAD requests'."""
    name = 'rclone copy'
    # The destination is empty: --no-check-dest spares looking there. With --use-server-modtime and --s3-no-head-object a file is
    # one GET. --ignore-checksum: rclone takes an ETag of 32 digits for the body's MD5; those of s3lab's computed objects are not.
    arguments = ('--transfers', '64', '--checkers', '64', '--fast-list', '--no-check-dest', '--use-server-modtime',
                 '--s3-no-head-object', '--ignore-checksum', '--multi-thread-cutoff', '64Mi', '--multi-thread-streams', '16')
    settings = ' '.join(arguments)

    @property
    def version(self):
        return numbers(said(program('rclone'), 'version')) if program('rclone') else 'not here'

    def available(self):
        return None if program('rclone') else 'no rclone here: bench/install-peers.sh rclone'

    def environment(self, s3):
        return rclone_environment(s3)

    def command(self, s3, bucket, prefix, destination):
        return [program('rclone'), 'copy', '--config=', *self.arguments, f'lab:{bucket}/{prefix}'.rstrip('/'), destination]


class AwsCopy(Downloader):
    """Sources: the AWS CLI's 'S3 configuration': max_concurrent_requests is 10 otherwise, max_queue_size 1,000."""
    settings = 'max_concurrent_requests 64, max_queue_size 10000'

    def __init__(self, path=None):
        self.path = path
        self.version = numbers(said(path, '--version')) if path else 'not here'
        self.name = f'aws s3 cp {self.version}' if path else 'aws s3 cp'

    def available(self):
        return None if self.path else 'no aws here: tools/install-packages.sh s3'

    def download(self, s3, bucket, prefix, destination):
        with tempfile.NamedTemporaryFile('w', prefix='leat-aws-', suffix='.config') as self.configuration:
            self.configuration.write(f'[default]\nregion = {region_of(s3)}\ns3 =\n  max_concurrent_requests = 64\n'
                                     '  max_queue_size = 10000\n  addressing_style = path\n')
            self.configuration.flush()
            super().download(s3, bucket, prefix, destination)

    def environment(self, s3):
        return environment_for(s3, AWS_CONFIG_FILE=self.configuration.name, AWS_PAGER='')

    def command(self, s3, bucket, prefix, destination):
        return [self.path, 's3', 'cp', '--recursive', '--only-show-errors', '--endpoint-url', s3.endpoint,
                f's3://{bucket}/{prefix}', destination]


def aws_programs():
    """Debian's, and the one on PATH where it is of another version."""
    found = {}
    for path in ('/usr/bin/aws', shutil.which('aws')):
        if path and os.access(path, os.X_OK) and said(path, '--version').startswith('aws-cli/'):
            found.setdefault(numbers(said(path, '--version')), path)
    return list(found.values())


def peers():
    return [S3fs(), S3fsCache(), Rclone(), RcloneFull(), JuiceFS(), GeeseFS(), Mountpoint()]


def downloaders():
    return [*([AwsCopy(path) for path in aws_programs()] or [AwsCopy()]), RcloneCopy()]


def main():
    for found in [*peers(), *downloaders()]:
        missing = found.available()
        print(f'{found.name:24}' + (missing if missing else f'{found.version:10} {found.settings}'))
    return 0


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The machine under measurement: what it is, its page cache, and what a process has used of it."""
import mmap
import os
import platform
import signal
import subprocess

TICKS = os.sysconf('SC_CLK_TCK')
MEMORY_GROUPS = '/sys/fs/cgroup/memory'  # cgroup v1
UNIFIED_GROUPS = '/sys/fs/cgroup'        # cgroup v2


class Unavailable(Exception):
    """Something this machine lacks; what needs it is left out with this line."""


def first_line(path, starts):
    with open(path) as file:
        return next((line.split(':', 1)[1].strip() for line in file if line.startswith(starts)), 'unknown')


def memory_bytes(field='MemTotal'):
    return int(first_line('/proc/meminfo', field + ':').split()[0]) * 1024


def file_system_of(path):
    """Type and source of the file system that holds `path`."""
    path, best = os.path.realpath(path), ('', 'unknown', 'unknown')
    with open('/proc/self/mounts') as file:
        for line in file:
            source, target, kind = line.split()[:3]
            inside = path == target or path.startswith(target.rstrip('/') + '/')
            if inside and len(target) >= len(best[0]):
                best = (target, kind, source)
    return best[1], best[2]


def facts(scratch):
    kind, source = file_system_of(scratch)
    compiler = subprocess.run(['c++', '--version'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return {'cpu': first_line('/proc/cpuinfo', 'model name'), 'cores': os.cpu_count(), 'memory_bytes': memory_bytes(),
            'kernel': platform.release(), 'file_system': kind, 'device': source, 'python': platform.python_version(),
            'compiler': (compiler.stdout.splitlines() or ['unknown'])[0]}


def can_drop_caches():
    return os.access('/proc/sys/vm/drop_caches', os.W_OK)


def drop_caches():
    """Writes what is dirty, then forgets pages, names and inodes of all file systems."""
    if not can_drop_caches():
        raise Unavailable('the page cache can be dropped by root only')
    os.sync()
    with open('/proc/sys/vm/drop_caches', 'w') as file:
        file.write('3')


def touch_free_memory(bytes_max=6 << 30):
    """Uses memory once and gives it back. Below a hypervisor that takes free pages away (free page reporting, balloons) the first
    use of each costs a fault on the host: 1 us a page was seen, more than all else that a cached byte costs, and paid by
    whichever side came first."""
    size = min(bytes_max, memory_bytes('MemFree') // 2) // mmap.PAGESIZE * mmap.PAGESIZE
    if size > 0:
        with mmap.mmap(-1, size) as memory:
            block = bytes(b'x' * (1 << 20))
            for at in range(0, size - len(block) + 1, len(block)):
                memory[at:at + len(block)] = block


def list_tree(path):
    """Walks the names below `path`, as a loader does before it reads: the kernel then knows them."""
    for _ in os.walk(path):
        pass


def children_of():
    """Parent's id -> ids of its children, for all processes now."""
    found = {}
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/stat') as file:
                parent = int(file.read().rpartition(')')[2].split()[1])
        except OSError:
            continue
        found.setdefault(parent, []).append(int(name))
    return found


def with_descendants(pids):
    children, found, waiting = children_of(), [], list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """User and system time of these processes, of their living descendants, and of those they have waited for."""
    ticks = 0
    for pid in with_descendants(pids):
        try:
            with open(f'/proc/{pid}/stat') as file:
                ticks += sum(int(value) for value in file.read().rpartition(')')[2].split()[11:15])
        except OSError:
            continue
    return ticks / TICKS


def resident_bytes(pid, field='VmRSS'):
    """VmRSS now, or VmHWM: the most it has been."""
    return int(first_line(f'/proc/{pid}/status', field + ':').split()[0]) * 1024


def disk_bytes(path):
    """What the files below `path` occupy."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # a database that is compacting
    return total


def end(process, patience_s=10):
    """Ends one process that was started here."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class MemoryGroup:
    """A cgroup of its own with a limit of memory; page cache that its processes bring in counts too."""

    def __init__(self, name, limit_bytes):
        first = os.path.exists(os.path.join(MEMORY_GROUPS, 'memory.limit_in_bytes'))
        self.directory = os.path.join(MEMORY_GROUPS if first else UNIFIED_GROUPS, name)
        limit = 'memory.limit_in_bytes' if first else 'memory.max'
        self.events = os.path.join(self.directory, 'memory.oom_control' if first else 'memory.events')
        try:
            os.mkdir(self.directory)
            with open(os.path.join(self.directory, limit), 'w') as file:
                file.write(str(limit_bytes))
        except OSError as error:
            raise Unavailable(f'no memory cgroup can be made here: {error.strerror}') from error

    def enter(self):
        """Puts the calling process into the group."""
        with open(os.path.join(self.directory, 'cgroup.procs'), 'w') as file:
            file.write(str(os.getpid()))

    def kills(self):
        with open(self.events) as file:
            return next((int(line.split()[1]) for line in file if line.startswith('oom_kill ')), 0)

    def close(self):
        try:
            os.rmdir(self.directory)
        except OSError:
            pass  # a process that is still ending keeps it; an empty group costs nothing

"""The system calls that a model's code may make: an allow-list, built by name through libseccomp.

Begun from the list that container engines publish as their default, less what an interpreter never needs. Everything
else answers EPERM. So a call that a later kernel adds is refused until somebody has thought about it.
"""

import errno
import functools
import os
import platform
import socket
import tempfile
from typing import Any

NAMES = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat openat2 creat close close_range
stat fstat lstat newfstatat statx fstat64 stat64 lstat64 fstatat64 statfs fstatfs statfs64 fstatfs64 access faccessat
faccessat2 lseek _llseek sendfile sendfile64 copy_file_range splice tee readahead fadvise64 fadvise64_64 fallocate
truncate ftruncate truncate64 ftruncate64 fsync fdatasync sync_file_range msync
getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat
symlink symlinkat readlink readlinkat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat umask
utime utimes utimensat futimesat utimensat_time64 getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
dup dup2 dup3 pipe pipe2 fcntl fcntl64 ioctl flock
poll ppoll ppoll_time64 select pselect6 pselect6_time64 _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 inotify_init inotify_init1 inotify_add_watch
inotify_rm_watch signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime
mmap mmap2 munmap mprotect mremap madvise brk pkey_alloc pkey_free pkey_mprotect membarrier rseq
fork vfork execve execveat exit exit_group wait4 waitid waitpid set_tid_address set_robust_list get_robust_list
getpid getppid gettid getpgid getpgrp setpgid getsid setsid getuid geteuid getgid getegid getresuid getresgid
getgroups getuid32 geteuid32 getgid32 getegid32 getresuid32 getresgid32 getgroups32 capget
kill tkill tgkill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo sigaltstack sigreturn pause alarm restart_syscall
futex futex_time64 futex_waitv sched_yield sched_getaffinity sched_getparam sched_getscheduler
sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority getcpu
nanosleep clock_nanosleep clock_nanosleep_time64 clock_gettime clock_gettime64 clock_getres clock_getres_time64
gettimeofday time times timer_create timer_delete timer_getoverrun timer_gettime timer_settime getitimer setitimer
getrlimit setrlimit prlimit64 ugetrlimit getrusage sysinfo uname arch_prctl getrandom
bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown
sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg recvmmsg_time64
"""
ALLOWED = tuple(NAMES.split())

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)

# What `prctl` may be asked for, <linux/prctl.h>: names, timer slack, reading what is set, memory of threads, vector
# registers. Not among them: PR_SET_PDEATHSIG, with which a sandbox would outlive the daemon, PR_SET_DUMPABLE, with
# which it would hide from the watchdog, and filters.
PRCTL_OPTIONS = (2, 3, 7, 15, 16, 21, 23, 29, 30, 36, 37, 38, 39, 40, 41, 42, 50, 51, 52, 54, 55, 56, 0x53564D41)

# CLONE_NEWTIME NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET, <linux/sched.h>
NAMESPACES = 0x00000080 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000


class CannotFilter(Exception):
    """libseccomp is missing or refuses; the text is a whole sentence with a remedy."""


@functools.cache
def program() -> bytes:
    """The filter as BPF, for `bwrap --seccomp`. Raises CannotFilter."""
    try:
        import pyseccomp
    except Exception:  # it looks for the library while it is imported, and raises what ctypes raises
        raise CannotFilter("the library libseccomp is not installed. Debian, Ubuntu: apt install libseccomp2") from None
    try:
        return _built(pyseccomp)
    except (OSError, RuntimeError, ValueError) as error:
        raise CannotFilter(f"libseccomp could not build the filter ({error}); a newer one (2.5) may.") from None


def _built(pyseccomp: Any) -> bytes:
    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.EPERM))
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for name in ALLOWED:
        if _is_known(pyseccomp, name):
            rules.add_rule(pyseccomp.ALLOW, name)
    for family in FAMILIES:
        rules.add_rule(pyseccomp.ALLOW, "socket", pyseccomp.Arg(0, pyseccomp.EQ, int(family)))
    rules.add_rule(pyseccomp.ALLOW, "socketpair", pyseccomp.Arg(0, pyseccomp.EQ, int(socket.AF_UNIX)))
    for option in PRCTL_OPTIONS:
        rules.add_rule(pyseccomp.ALLOW, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))
    # The flags are the first argument but on s390.
    flags = 1 if platform.machine().startswith("s390") else 0
    rules.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(flags, pyseccomp.MASKED_EQ, NAMESPACES, 0))
    # glibc then uses `clone`, whose flags can be seen here.
    if _is_known(pyseccomp, "clone3"):
        rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _is_known(pyseccomp: Any, name: str) -> bool:
    """Whether this libseccomp and processor have a call of this name."""
    try:
        return int(pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)) >= 0
    except (OSError, ValueError):
        return False


def descriptor() -> int:
    """A readable descriptor with the program, at its beginning; the caller closes it."""
    handle, path = tempfile.mkstemp(prefix="holdfast-seccomp-")
    os.unlink(path)
    os.write(handle, program())
    os.lseek(handle, 0, os.SEEK_SET)
    return handle

"""What hostile code cannot ask of the kernel: namespaces, the calls behind most kernel exploits, other rights."""

import platform

from sandbox.tests.isolation.hostile import number_of, numbers_of
from sandbox.tests.isolation.hosts import Tenant

REFUSED = """
bpf io_uring_setup io_uring_enter io_uring_register io_setup io_submit userfaultfd perf_event_open keyctl
add_key request_key shmget shmat shmctl semget semop semctl msgget msgsnd msgctl mq_open mq_unlink syslog
init_module finit_module delete_module kexec_load kexec_file_load reboot seccomp landlock_create_ruleset
landlock_restrict_self name_to_handle_at fanotify_init memfd_create memfd_secret vmsplice mlock mlockall
clock_settime settimeofday adjtimex acct swapoff sethostname setdomainname iopl ioperm lookup_dcookie
move_pages migrate_pages mbind set_mempolicy setxattr fsetxattr lsetxattr removexattr sched_setscheduler
sched_setattr vhangup uselib ustat sysfs nfsservctl quotactl_fd
"""


def test_no_namespace_can_be_made_or_entered(tenant: Tenant) -> None:
    """K1"""
    told = tenant.probe(
        """
kinds = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
         "pid": 0x20000000, "net": 0x40000000, "time": 0x80}
def clone(flags):
    made = syscall(numbers["clone"], flags | signal.SIGCHLD, 0, 0, 0, 0)
    if made == 0:
        os._exit(0)
    os.waitpid(made, 0)

answers = {}
for name, flag in kinds.items():
    answers[f"unshare {name}"] = in_child(lambda: syscall(numbers["unshare"], flag))
    if name != "time":  # 0x80 is no flag of clone
        answers[f"clone {name}"] = tried(clone, flag)
        answers[f"clone {name} and user"] = tried(clone, flag | kinds["user"])
        answers[f"clone {name}, high bits set"] = tried(clone, flag | 1 << 40)
spaces = "/proc/self/ns" if has_proc else None
for name in os.listdir(spaces) if spaces else []:
    entered = os.open(f"{spaces}/{name}", os.O_RDONLY)
    answers[f"setns {name}"] = in_child(lambda: syscall(numbers["setns"], entered, 0))
    os.close(entered)
answers["setns"] = tried(syscall, numbers["setns"], 0, 0)
room = ctypes.create_string_buffer(88)
tell({"answers": answers, "clone3": tried(syscall, numbers["clone3"], ctypes.addressof(room), 88)})
""",
        numbers=numbers_of("unshare", "clone", "clone3", "setns"),
    )

    assert set(told["answers"].values()) == {"EPERM"}, told["answers"]
    assert told["clone3"] == "ENOSYS"


def test_dangerous_system_calls_are_refused(tenant: Tenant) -> None:
    """K2"""
    told = tenant.probe(
        """
room = ctypes.create_string_buffer(4096)
at = ctypes.addressof(room)
useful = {"memfd_create": (at, 0), "io_uring_setup": (1, at), "bpf": (0, at, 64), "shmget": (0, 4096, 0o1600),
          "semget": (0, 1, 0o1600), "msgget": (0, 0o1600), "io_setup": (1, at), "add_key": (at, at, at, 0, -2),
          "landlock_create_ruleset": (0, 0, 1), "seccomp": (2, 0, at), "syslog": (3, at, 4096), "userfaultfd": (1,),
          "perf_event_open": (at, 0, -1, -1, 0), "keyctl": (0, -1, 1)}
tell({name: tried(syscall, number, *useful.get(name, (0,) * 6)) for name, number in numbers.items()})
""",
        numbers=numbers_of(*REFUSED.split()),
    )

    assert {name: answer for name, answer in told.items() if answer not in ("EPERM", "ENOSYS")} == {}
    known = {"bpf", "io_uring_setup", "memfd_create", "keyctl", "shmget", "userfaultfd", "perf_event_open", "seccomp"}
    assert {told[name] for name in known} == {"EPERM"}  # the filter's word; the kernel's own might be another day's


def test_calls_of_another_architecture_kill(tenant: Tenant) -> None:
    """K2: by them a filter of the machine's own numbers would be walked around."""
    if platform.machine() != "x86_64":
        return
    told = tenant.probe(
        r"""
import mmap
def old():  # mov eax, 20 (getpid); int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("53b814000000cd805bc3"))
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()

tell({"x32": in_child(lambda: syscall(0x40000000 | getpid)), "i386": in_child(old)})
""",
        getpid=number_of("getpid"),
    )

    assert set(told.values()) == {"signal 31"}, told


def test_no_right_can_be_gained(tenant: Tenant) -> None:
    """K3"""
    told = tenant.probe(
        r"""
PR_GET_NO_NEW_PRIVS, PR_CAPBSET_READ, PR_CAP_AMBIENT, PR_GET_SECCOMP = 39, 23, 47, 21
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc.syscall(numbers["capget"], header, data)
status = dict(line.split(":", 1) for line in open("/proc/self/status")) if has_proc else {}
setuid = [e.path for folder in ("/usr/bin", "/usr/sbin", "/usr/lib") for e in os.scandir(folder)
          if e.is_file() and e.stat().st_mode & 0o6000]
mounted = ("/", "/usr", "/tmp", "/mnt/data", "/opt/ci")

def user_of(path):
    "The effective user of a process of this program."
    with subprocess.Popen(path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        lines = dict(line.split(":", 1) for line in open(f"/proc/{process.pid}/status"))
        process.kill()
    return int(lines["Uid"].split()[1])

tell({
    "ids": {name: tried(syscall, number, 0, 0, 0) for name, number in changing.items()},
    "capset": tried(syscall, numbers["capset"], ctypes.addressof(header), ctypes.addressof(data)),
    "user": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    "no_new_privs": libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
    "seccomp": status.get("Seccomp", "2").strip(),
    "bounding": [n for n in range(41) if libc.prctl(PR_CAPBSET_READ, n, 0, 0, 0) == 1],
    "effective": list(data),
    "capabilities": [v.strip() for k, v in status.items() if k.startswith("Cap")],
    "nosuid": [bool(os.statvfs(place).f_flag & os.ST_NOSUID) for place in mounted],
    "made": tried(os.chmod, os.open("/tmp/suid", os.O_CREAT | os.O_WRONLY), 0o4755),
    "setuid": [user_of(path) for path in setuid] if has_proc else [],
})
""",
        numbers=numbers_of("capget", "capset"),
        changing=numbers_of(
            "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid"
        ),
    )

    assert set(told["ids"].values()) == {"EPERM"}, told["ids"]
    assert (told["capset"], told["user"]) == ("EPERM", [1000] * 4)
    assert (told["no_new_privs"], told["seccomp"]) == (1, "2")
    assert (told["bounding"], told["effective"], set(told["capabilities"]) - {"0" * 16}) == ([], [0] * 6, set())
    assert all(told["nosuid"])
    assert set(told["setuid"]) <= {1000}

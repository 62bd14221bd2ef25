"""The filter: what it lets through is a list that somebody has thought about."""

from sandbox import seccomp

NEVER = """
ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal kcmp io_setup io_submit
io_uring_setup io_uring_enter bpf perf_event_open userfaultfd keyctl add_key request_key shmget shmat msgget semget
mq_open mknod mknodat setuid setgid setresuid setgroups capset setxattr fsetxattr fanotify_init name_to_handle_at
open_by_handle_at memfd_create memfd_secret vmsplice sched_setattr sched_setscheduler clock_settime settimeofday
adjtimex mlock mlockall seccomp landlock_create_ruleset mount umount2 pivot_root chroot open_tree move_mount fsopen
unshare setns clone3 sync syncfs mincore
syslog init_module finit_module kexec_load reboot swapon acct quotactl personality iopl ioperm
""".split()  # noqa: SIM905


def test_what_must_never_be_allowed_is_not_on_the_list() -> None:
    assert not set(NEVER) & set(seccomp.ALLOWED)
    assert not {"socket", "clone", "prctl"} & set(seccomp.ALLOWED), "these are allowed with conditions only"


def test_the_program_is_bpf_and_made_once() -> None:
    program = seccomp.program()
    assert len(program) % 8 == 0
    assert 100 < len(program) // 8 < 4_096, "the kernel takes 4,096 instructions at most"
    assert seccomp.program() is program

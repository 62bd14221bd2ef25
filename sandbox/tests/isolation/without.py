"""`python -m sandbox.tests.isolation.without`: each test is seen to fail without the protection it is for.

For each row the daemon is started without one protection (or two, where one alone would hold), and the row's tests have
to fail. It ends with a table, and with exit code 0 only if all of them did.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
PATIENCE = "12"  # seconds until an execution that nothing ends counts as a failure


@dataclass(frozen=True)
class Wall:
    """Of a row of the table: what is removed, and the tests that must notice. Each test is `file::name[variant]`."""

    row: str
    removed: tuple[str, ...]
    tests: tuple[str, ...]


def wall(row: str, removed: str, *tests: str) -> Wall:
    return Wall(row, tuple(removed.split(" + ")), tuple(f"test_{test}" for test in tests))


USER = "root" if os.geteuid() == 0 else "service"
MEMORY = ("eight heaps", "heaps that hide", "heap and tmpfs", "shared mappings", "socket buffers", "pipes")
WALLS = [
    wall("N1", "unshare-net", f"network.py::test_no_address_is_reached_over_tcp_udp_or_dns[{USER}]"),
    wall("N2", "unshare-net", f"network.py::test_an_abstract_socket_of_the_host_is_not_there[{USER}]"),
    wall("N3", "seccomp", f"network.py::test_no_other_family_of_sockets_can_be_made[{USER}]"),
    wall("F1", "own-etc", f"mounts.py::test_the_hosts_files_are_not_found[{USER}]"),
    wall("F1", "own-tmp", f"mounts.py::test_the_hosts_files_are_not_found[{USER}]"),
    wall("F2", "own-etc", f"mounts.py::test_the_top_folders_have_only_what_the_launch_names[{USER}]"),
    wall("F3", "remount-ro", f"mounts.py::test_only_the_three_working_folders_can_be_written[{USER}]"),
    wall("F4", "seccomp", f"mounts.py::test_nothing_can_be_mounted_or_made_a_root[{USER}]"),
    wall("E1", "empty-environment", f"secrets.py::test_the_daemons_environment_is_nowhere[{USER}]"),
    wall("E1", "hidden-init", f"secrets.py::test_the_memory_of_the_sessions_first_process_is_out_of_reach[{USER}]"),
    wall("E2", "stderr-to-null", f"secrets.py::test_descriptors_lead_to_nothing_of_the_host[{USER}]"),
    wall("E3", "options-by-descriptor", f"secrets.py::test_neither_options_nor_the_owners_names_are_shown[{USER}]"),
    *(
        wall("T1", removed, f"neighbours.py::test_another_tenants_files_processes_and_sockets_are_not_visible[{USER}]")
        for removed in ("unshare-pid", "unshare-net", "own-tmp")
    ),
    wall("T2", "unshare-pid", "neighbours.py::test_signals_end_nothing_outside[service]"),
    wall("T2", "setpriv", "neighbours.py::test_sessions_of_root_have_users_of_their_own[root]"),
    wall("T3", "seccomp", f"neighbours.py::test_the_sessions_first_process_cannot_be_traced_or_reached_into[{USER}]"),
    wall("K1", "seccomp + disable-userns", f"kernel.py::test_no_namespace_can_be_made_or_entered[{USER}]"),
    wall("K2", "seccomp", f"kernel.py::test_dangerous_system_calls_are_refused[{USER}]"),
    wall("K2", "seccomp", f"kernel.py::test_calls_of_another_architecture_kill[{USER}]"),
    wall("K3", "no-capabilities", f"kernel.py::test_no_right_can_be_gained[{USER}]"),
    wall("R1", "rlimit-nproc", *(f"resources.py::test_processes_and_threads_stop_at_their_limit[{USER}-{way}]"
                                 for way in ("forks", "threads", "shell"))),
    wall("R2", "watchdog", f"memory.py::test_a_process_that_takes_memory_is_ended[{USER}]"),
    wall("R2", "rlimit-as", f"memory.py::test_a_request_for_far_too_much_is_an_ordinary_error[{USER}]"),
    wall("R3", "watchdog", *(f"memory.py::test_memory_that_hides_is_counted[{USER}-{bomb}]" for bomb in MEMORY),
         f"memory.py::test_memory_that_is_taken_while_nothing_runs_is_counted[{USER}]"),
    wall("R3", "seccomp", f"memory.py::test_memory_that_belongs_to_nobody_cannot_be_made[{USER}]"),
    wall("R4", "tmpfs-size", f"resources.py::test_full_disks_are_errors_of_the_code[{USER}]"),
    wall("R4", "rlimit-fsize", f"resources.py::test_full_disks_are_errors_of_the_code[{USER}]"),
    wall("R5", "watchdog", *(f"resources.py::test_very_many_empty_files_end_the_session[{USER}-{folder}]"
                             for folder in ("/mnt/data", "/tmp", "/dev/shm"))),
    wall("R6", "tmpfs-size", f"resources.py::test_a_zip_bomb_ends_at_the_size_of_the_disk[{USER}]"),
    wall("R6", "size-read", f"resources.py::test_a_sparse_file_is_cut_by_what_the_reader_takes[{USER}]"),
    wall("R7", "output-limit", f"resources.py::test_endless_output_is_cut_and_then_ended[{USER}-stdout]",
         f"resources.py::test_endless_output_is_cut_and_then_ended[{USER}-display]"),
    wall("I1", "time-limit",
         f"endings.py::test_code_that_does_not_end_is_interrupted_and_the_state_kept[{USER}-thread]"),
    wall("I2", "force", f"endings.py::test_code_that_cannot_be_interrupted_is_ended_by_force[{USER}]"),
    wall("I3", "force", f"endings.py::test_a_cancel_interrupts_what_runs[{USER}]"),
    wall("I5", "unshare-pid", f"endings.py::test_processes_that_hide_end_with_the_session[{USER}]"),
    wall("I5", "die-with-parent", "endings.py::test_sessions_end_with_the_daemon"),
    wall("C1", "no-links", f"collection.py::test_only_regular_files_are_listed_and_read[{USER}]"),
    wall("C1", "regular-files + seccomp", f"collection.py::test_only_regular_files_are_listed_and_read[{USER}]"),
    wall("C1", "fresh-files", f"collection.py::test_a_file_is_not_put_through_what_lies_there[{USER}]"),
    wall("C2", "clean-names", f"collection.py::test_names_of_files_never_break_the_answer[{USER}]"),
    wall("C3", "no-links", f"collection.py::test_a_file_swapped_between_listing_and_reading[{USER}]"),
    wall("P1", "frame-checks", f"frames.py::test_a_forged_frame_ends_the_session[{USER}-a header of 4 GiB]"),
    wall("P3", "call-ids", f"frames.py::test_a_finished_call_is_not_executed_again[{USER}]"),
    wall("S1", "tenants", f"neighbours.py::test_no_two_keys_share_a_session[{USER}-first0-second0]"),
    wall("S2", "sweeping", "lifetime.py::test_a_session_ends_by_time_and_the_next_one_is_new[idle]",
         "lifetime.py::test_a_session_ends_by_time_and_the_next_one_is_new[age]"),
    wall("S3", "used-once", f"neighbours.py::test_a_session_was_never_anybody_elses[{USER}]"),
    wall("D1", "self-test", "lifetime.py::test_without_a_working_bubblewrap_nothing_is_executed[missing]",
         "lifetime.py::test_without_a_working_bubblewrap_nothing_is_executed[namespaces]"),
    wall("oom", "oom-score",
         f"neighbours.py::test_sessions_are_the_first_to_go_when_the_host_is_out_of_memory[{USER}]"),
]  # fmt: skip


def missed_by(wall: Wall) -> tuple[dict[str, str], str]:
    """The wall's tests that failed without it, each with the reason; and all that pytest said."""
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider"]
    command += [str(HERE / test) for test in wall.tests]
    environment = os.environ | {"SANDBOX_TESTS_WITHOUT": ",".join(wall.removed), "SANDBOX_TESTS_PATIENCE": PATIENCE}
    environment["COLUMNS"] = "250"
    ran = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    found = {}
    for line in ran.stdout.splitlines():
        if line.startswith("FAILED "):
            for test in wall.tests:
                if f"/{test}" in line:
                    found[test] = line.partition(" - ")[2]
    return found, ran.stdout + ran.stderr


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-sandbox-walls", description=__doc__)
    parser.add_argument("rows", nargs="*", help="only these rows, such as N1 R3")
    parser.add_argument("--verbose", action="store_true", help="show what pytest said of those that did not fail")
    arguments = parser.parse_args()
    standing = 0
    print("| row | removed | test | seen to fail |")
    print("| --- | --- | --- | --- |")
    for wall in WALLS:
        if arguments.rows and wall.row not in arguments.rows:
            continue
        begun = time.monotonic()
        failed, said = missed_by(wall)
        for test in wall.tests:
            seen = f"yes: {failed[test][:110]}" if test in failed else "NO"
            print(f"| {wall.row} | {' and '.join(wall.removed)} | `{test}` | {seen} |", flush=True)
            standing += test not in failed
        if arguments.verbose and len(failed) < len(wall.tests):
            print(said[-3000:])
        print(f"{wall.row}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(f"\n{standing} tests did not notice." if standing else "\nEvery test noticed.")
    return 1 if standing else 0


if __name__ == "__main__":
    sys.exit(main())

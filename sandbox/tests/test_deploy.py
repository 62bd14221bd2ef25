"""What is shipped to run the sandbox elsewhere: as tight as the documents say, and complete."""

import ast
import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.tests.environments import environment_for_tests

PROJECT = Path(__file__).resolve().parents[2]
DEPLOY = PROJECT / "deploy"
INSIDE = {"runner.py", "fonts.py"}  # run by the Python of the environment, with its packages
CALLERS = {"client.py", "hosts.py"}  # used by Holdfast's own processes


def service() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["sandbox"]
    return found


def test_the_container_has_no_network_no_capability_no_secret_and_nothing_to_write_to() -> None:
    sandbox = service()

    assert sandbox["network_mode"] == "none"
    assert sandbox["cap_drop"] == ["ALL"]
    assert "cap_add" not in sandbox
    assert "privileged" not in sandbox
    assert sandbox["read_only"] is True
    assert sandbox["init"] is True
    assert not sandbox["user"].startswith("0")
    assert sandbox["mem_limit"] == sandbox["memswap_limit"]
    assert "no-new-privileges:true" in sandbox["security_opt"]
    assert not {"environment", "env_file", "ports", "secrets"} & set(sandbox)
    assert [volume.split(":")[0] for volume in sandbox["volumes"]] == ["sandbox-socket"]


def test_the_files_that_the_container_names_are_there() -> None:
    named = dict(option.split(":", 1) for option in service()["security_opt"] if ":" in option)

    assert (PROJECT / named["seccomp"]).is_file()
    assert named["apparmor"] == "${SANDBOX_APPARMOR:-unconfined}"
    assert "profile holdfast-sandbox " in (DEPLOY / "apparmor" / "holdfast-sandbox").read_text()
    assert "SANDBOX_APPARMOR=holdfast-sandbox" in (PROJECT / "docker-compose.yml").read_text()


def test_the_image_gets_what_the_daemon_imports_and_nothing_of_holdfasts() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    listed = re.search(r"--constraint requirements\.txt ([\w ]+)", dockerfile)
    assert listed
    installed = set(listed[1].split())
    imported: set[str] = set()
    for file in (PROJECT / "sandbox").glob("*.py"):
        if file.name not in INSIDE | CALLERS:
            imported |= modules_of(file)
    assert imported - {"sandbox"} - sys.stdlib_module_names == installed
    pinned = (PROJECT / "requirements.txt").read_text()
    assert all(re.search(rf"^{name}==", pinned, re.MULTILINE) for name in installed)
    packages, image = (
        dockerfile.split(f"AS {stage}\n")[1].split("\nFROM ")[0] for stage in ("sandbox-packages", "sandbox")
    )
    assert re.findall(r"^COPY (.+)", packages, re.MULTILINE) == ["requirements.txt ./", "sandbox/ sandbox/"]
    assert set(re.findall(r"^COPY --from=sandbox-packages (\S+) ", image, re.MULTILINE)) == {
        "/opt/venv",
        "/opt/sandbox",
        "/app/sandbox",
    }
    assert image.count("\nCOPY ") == 3


def modules_of(file: Path) -> set[str]:
    """The first names of all modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_service_is_closed_but_for_what_sessions_are_made_of() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "holdfast-sandbox.service")
    service = unit["Service"]

    assert service["User"] != "root"
    for closed in ("NoNewPrivileges", "PrivateNetwork", "ProtectHome"):
        assert service[closed] == "yes"
    assert service["MemoryMax"]
    assert not {"RestrictNamespaces", "ProtectProc", "ProtectKernelTunables", "SystemCallFilter"} & set(service)
    # A start that needs packages would find no network.
    assert "SANDBOX_BUILD" not in (DEPLOY / "systemd" / "holdfast-sandbox.service").read_text()


def test_the_profile_denies_what_it_does_not_name() -> None:
    profile = json.loads((DEPLOY / "seccomp-sandbox.json").read_text())

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name
        for rule in profile["syscalls"]
        for name in rule["names"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("includes") and not rule.get("args")
    }
    assert {"clone", "unshare", "mount", "umount2", "pivot_root", "sethostname", "setns"} <= allowed
    assert not {"bpf", "keyctl", "add_key", "kexec_load", "init_module", "ptrace", "perf_event_open"} & allowed
    assert not {"socket", "io_uring_setup", "userfaultfd", "open_by_handle_at", "fsopen", "move_mount"} & allowed


BUBBLEWRAP = """
bwrap --unshare-all --uid 1000 --gid 1000 --die-with-parent --new-session
--clearenv --setenv MPLBACKEND agg --setenv MPLCONFIGDIR /tmp/mpl --setenv HOME /tmp
--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64
--ro-bind ENVIRONMENT /opt/ci --proc /proc --dev /dev --tmpfs /dev/shm --tmpfs /tmp --tmpfs /mnt/data --chdir /mnt/data
--remount-ro /dev --remount-ro / -- prlimit --nproc=64:64 -- /opt/ci/bin/python -I -c
"""
INSIDE_IT = r"""
import multiprocessing, os, socket, subprocess, sys, threading
import matplotlib.pyplot as plt
import numpy, pandas
from sklearn.ensemble import RandomForestClassifier

print(subprocess.run("echo shell", shell=True, capture_output=True, text=True).stdout, end="")
thread = threading.Thread(target=lambda: print("thread"))
thread.start()
thread.join()
with multiprocessing.Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
RandomForestClassifier(n_jobs=2, n_estimators=4).fit(numpy.eye(4), numpy.arange(4))
plt.plot([1, 2])
plt.savefig("a.png")
print(os.path.getsize("a.png") > 0, pandas.Series([1]).sum())
status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
print(status["CapEff"], status["NoNewPrivs"], status["Seccomp"])
for family in (38, 40):  # AF_ALG, AF_VSOCK
    try:
        socket.socket(family, socket.SOCK_STREAM)
        print(family, "opened")
    except OSError:
        print(family, "refused")
"""


@pytest.mark.sandbox
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_under_the_profile_without_capabilities_a_session_can_be_made_and_works() -> None:
    """As in the container but for its engine: another user, no capability, no new privileges."""
    profile = shlex.quote(str(DEPLOY / "seccomp-sandbox.json"))
    command = f"{sys.executable} -m sandbox.tests.profile {profile} "
    if os.geteuid() == 0:
        command += "setpriv --reuid=10001 --regid=10001 --clear-groups --bounding-set=-all -- "
    command += BUBBLEWRAP.replace("ENVIRONMENT", shlex.quote(str(environment_for_tests())))
    ran = subprocess.run([*shlex.split(command), INSIDE_IT], cwd=PROJECT, capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "shell",
        "thread",
        "[1, 2]",
        "True 1",
        "0000000000000000 1 2",
        "38 refused",
        "40 refused",
    ]

"""The systemd units: what systemd itself says of them, and what they promise."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands

from assistant_site.tests.test_configuration_doc import settings_read
from deploy.tests.tools import PROJECT

FOLDER = PROJECT / "deploy" / "systemd"
OURS = ("holdfast-web", "holdfast-worker@", "holdfast-ingestion", "holdfast-migrate")


def unit(name: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(FOLDER / name)
    return read


def settings_of_the_file() -> dict[str, str]:
    """Those that are commented out, too."""
    told = (FOLDER / "holdfast.env").read_text()
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(\S*)$", told, re.MULTILINE))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be installed, with a program that is there."""
    for file in FOLDER.glob("holdfast*"):
        text = file.read_text().replace("/opt/holdfast/.venv/bin/python", "/bin/true")
        (tmp_path / file.name.replace("@.", "@1.")).write_text(text)
        (tmp_path / file.name).write_text(text)
    return tmp_path


def analyze(*arguments: str | Path, path: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not installed")
    environment = {"SYSTEMD_UNIT_PATH": f"{path}:", "PATH": "/usr/bin:/bin"}
    return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)


def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    units = [file for file in sorted(installed.glob("holdfast*")) if file.suffix != ".env" and "@." not in file.name]
    assert len(units) == 6
    verified = analyze("verify", "--man=no", *units, path=installed)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("name", OURS)
def test_systemd_calls_a_unit_as_little_exposed_as_a_network_service_can_be(name: str, installed: Path) -> None:
    file = installed / f"{name.replace('@', '@1')}.service"
    judged = analyze("security", "--offline=true", "--threshold=20", file, path=installed)
    assert judged.returncode == 0, judged.stdout[-400:]


def test_every_unit_runs_a_command_of_ours_with_one_hardening() -> None:
    hardened = []
    for name in OURS:
        service = unit(f"{name}.service")["Service"]
        program, script, command, *_ = service["ExecStart"].split()
        assert (program, script) == ("/opt/holdfast/.venv/bin/python", "manage.py")
        assert command in get_commands()
        assert (service["User"], service["EnvironmentFile"]) == ("holdfast", "/etc/holdfast/holdfast.env")
        kinds = ("Protect", "Restrict", "Private", "SystemCall")
        hardened.append({key: service[key] for key in service if key.startswith(kinds)})
    assert all(each == hardened[0] for each in hardened)
    assert hardened[0]["ProtectSystem"] == "strict"


def test_the_target_starts_each_of_them_and_a_stopped_worker_has_time_to_hand_over() -> None:
    wanted = unit("holdfast.target")["Unit"]["Wants"].split()
    assert wanted
    for name in OURS[:3]:
        read = unit(f"{name}.service")
        assert read["Unit"]["Requires"] == "holdfast-migrate.service"
        assert read["Unit"]["PartOf"] == "holdfast.target"
        assert read["Install"]["WantedBy"] == "holdfast.target"
    from django.conf import settings

    assert int(unit("holdfast-worker@.service")["Service"]["TimeoutStopSec"]) > settings.WORKER_DRAIN_SECONDS + 10


def test_the_environment_file_has_settings_only_and_no_secret() -> None:
    known = {name for setting in settings_read().values() for name in (setting.name, *setting.aliases)}
    told = settings_of_the_file()
    assert {"DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY"} <= set(told) <= known
    assert "CHANGE-ME" in told["DATABASE_URL"]
    assert told["OPENAI_API_KEY"] == ""

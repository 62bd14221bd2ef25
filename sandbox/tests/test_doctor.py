"""The doctor: a wall that does not hold turns the tool off, with a reason and a remedy."""

import asyncio
from pathlib import Path

import pytest

from sandbox import doctor, watchdog
from sandbox.launch import Launcher
from sandbox.protocol import Health
from sandbox.tests.environments import environment_for_tests


def examined(environment: Path) -> tuple[Health, list[str]]:
    lines: list[str] = []
    return asyncio.run(doctor.examine(environment, lines.append)), lines


def test_without_bubblewrap_the_tool_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    health, _ = examined(tmp_path)
    assert not health.is_available
    assert health.sentence == (
        "code_interpreter is off: bubblewrap is not installed. Debian, Ubuntu: apt install bubblewrap"
    )


@pytest.mark.sandbox
class TestExamination:
    def test_all_walls_hold_here(self) -> None:
        health, lines = examined(environment_for_tests())
        assert health.is_available, health.sentence
        assert health.tier.startswith("bubblewrap")
        assert all(line.startswith("ok ") for line in lines)

    def test_a_watchdog_that_does_not_see_files_turns_the_tool_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watchdog, "TMPFS", ())
        health, lines = examined(environment_for_tests())
        assert not health.is_available
        assert "memory, for data and files, was not ended" in health.reason
        assert "SYS_PTRACE" in health.remedy
        assert lines[-1].startswith("FAILED")

    def test_code_that_reaches_further_turns_the_tool_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "Launcher", _leaky)
        health, _ = examined(environment_for_tests())
        assert not health.is_available
        assert "the system-call filter is not loaded" in health.reason
        assert "the code reaches the memory of pid 1" in health.reason


def _leaky(environment: Path, *, bwrap: str, disable_userns: bool) -> Launcher:
    without = frozenset({"seccomp", "hidden-init"})
    return Launcher(environment, bwrap=bwrap, disable_userns=disable_userns, without=without)

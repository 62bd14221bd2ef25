"""docker-compose.yml: what the specification allows, and what its services promise."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from assistant_site.tests.test_configuration_doc import settings_read
from deploy.tests.tools import PROJECT, tool

FILE = PROJECT / "docker-compose.yml"
TOLD: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = TOLD["services"]
OURS = {name for name, service in SERVICES.items() if "HOLDFAST_IMAGE" in service["image"]}
PROFILES = ("searxng", "minio", "r2r")
# Of the processes' environment, not settings.
NOT_SETTINGS = {"HOLDFAST_IMAGE", "Q_CLUSTER_NAME"}
# What only this file reads, each of which the deployment page tells of.
KNOBS = set(re.findall(r"\$\{([A-Z_0-9]+)", FILE.read_text()))


def test_the_specification_allows_the_file() -> None:
    checked = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def compose() -> list[str]:
    if given := os.environ.get("COMPOSE") or shutil.which("docker-compose"):
        return [given]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    pytest.skip("Docker Compose is not here")


@pytest.mark.parametrize("profiles", ["", *PROFILES, ",".join(PROFILES)])
def test_compose_itself_reads_the_file_with_each_profile(profiles: str, tmp_path: Path) -> None:
    command = [*compose(), "--file", str(FILE), "config", "--format=json"]
    ran = subprocess.run(command, env=os.environ | {"COMPOSE_PROFILES": profiles}, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    started = set(json.loads(ran.stdout)["services"])
    of = {name: set(each.get("profiles", [])) for name, each in SERVICES.items()}
    assert started == {name for name in of if not of[name] or of[name] & set(profiles.split(","))}


def test_everything_that_is_named_is_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            is_ours = source.startswith("./") and (PROJECT / source).exists()
            assert source in TOLD["volumes"] or is_ours, (name, volume)
        assert set(service.get("networks", [])) <= set(TOLD["networks"]), name
        for needed, how in service.get("depends_on", {}).items():
            assert needed in SERVICES, (name, needed)
            is_awaited = how["condition"] == "service_healthy"
            assert not is_awaited or "test" in SERVICES[needed]["healthcheck"], (name, needed)
            ends = how["condition"] == "service_completed_successfully"
            assert not ends or SERVICES[needed]["restart"] == "no", (name, needed)
            # A service without a profile must not need one with it.
            assert not SERVICES[needed].get("profiles") or SERVICES[needed]["profiles"] == service.get("profiles")


def test_every_command_is_one_of_ours_and_every_variable_a_setting() -> None:
    known = {name for setting in settings_read().values() for name in (setting.name, *setting.aliases)} | NOT_SETTINGS
    for name in OURS:
        command = SERVICES[name]["command"]
        if command[1] == "manage.py":
            assert command[2] in get_commands(), name
        elif command[1] == "-m":
            assert (PROJECT / command[2].replace(".", "/")).with_suffix(".py").is_file(), name
        for variable in SERVICES[name]["environment"]:
            assert variable.removesuffix("_FILE") in known, (name, variable)


def test_nobody_may_write_gain_privileges_or_keep_a_capability() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not {"privileged", "pid", "ipc", "devices"} & set(service), name
        assert "docker.sock" not in str(service.get("volumes", "")), name
        assert service["read_only"] or name in ("searxng", "r2r"), name
        assert set(service.get("cap_add", [])) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}, name
    assert not any("cap_add" in SERVICES[name] for name in OURS | {"sandbox", "valkey"})


def test_what_keeps_data_is_reached_by_services_alone_and_the_web_process_from_this_machine() -> None:
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["web"]
    assert SERVICES["web"]["ports"] == ["${BIND:-127.0.0.1:8086}:8086"]
    for name in ("postgres", "valkey", "minio"):
        assert all(TOLD["networks"][network].get("internal") for network in SERVICES[name]["networks"]), name
    # Valkey has no password.
    inside = {name for name, service in SERVICES.items() if "inner" in service.get("networks", [])}
    assert inside == {"web", "worker", "ingestion", "migrate", "postgres", "valkey", "minio", "bucket"}


def test_no_secret_is_in_the_file_and_only_who_needs_them_sees_the_made_ones() -> None:
    assert not re.search(r"(?i)(password|secret|token|api_key)\w*: *[\"']?(?!\$|/run/)[a-z0-9]{6,}", FILE.read_text())
    writes = [name for name, each in SERVICES.items() if "secrets:/run/holdfast-secrets" in each.get("volumes", [])]
    assert writes == ["secrets"]
    assert SERVICES["sandbox"]["volumes"] == ["sandbox-socket:/run/holdfast-sandbox"]
    assert "volumes" not in SERVICES["valkey"]


def test_images_of_others_have_a_version() -> None:
    for name, service in SERVICES.items():
        default = re.fullmatch(r"\$\{[A-Z_0-9]+:-(.+)\}", service["image"])
        assert default, f"{name}: no variable to pin its image by digest"
        if "build" in service:
            continue
        tag = default[1].rpartition(":")[2]
        assert re.search(r"\d", tag), (name, tag)


def test_every_service_that_stays_has_a_health_check_and_bounded_logs() -> None:
    for name, service in SERVICES.items():
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}, name
        if service["restart"] != "no" and name != "searxng":
            assert "test" in service["healthcheck"], name


def test_the_deployment_page_tells_of_every_variable_that_only_this_file_reads() -> None:
    page = (PROJECT / "docs" / "deployment.md").read_text()
    settings = {name for setting in settings_read().values() for name in (setting.name, *setting.aliases)}
    assert [knob for knob in sorted(KNOBS - settings) if f"`{knob}`" not in page] == []

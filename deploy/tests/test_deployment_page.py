"""docs/deployment.md: every command in it is one that there is, about files, services and variables that there are."""

import re
import shlex
import subprocess

import yaml
from django.core.management import get_commands

from assistant_site.tests.test_configuration_doc import settings_read
from deploy.tests.tools import PROJECT

PAGE = (PROJECT / "docs" / "deployment.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMPOSE_FILE = (PROJECT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_FILE)
SETTINGS = {name for setting in settings_read().values() for name in (setting.name, *setting.aliases)}
VARIABLE = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]+)=\S*$")


def commands() -> list[list[str]]:
    """Every line that is a command, in words; `… && …` are several."""
    found = []
    for block in BLOCKS:
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#") and not VARIABLE.match(line):
                found += [shlex.split(part, comments=True) for part in line.split(" && ")]
    return found


def test_a_shell_reads_every_block() -> None:
    assert len(BLOCKS) > 10
    for block in BLOCKS:
        block = block.replace("<the address of this repository>", "ADDRESS")
        read = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True)
        assert (read.returncode, read.stderr) == (0, ""), block


def test_compose_knows_each_service_and_manage_py_each_command() -> None:
    asked = [words for words in commands() if words[:2] == ["docker", "compose"]]
    assert len(asked) >= 4
    for words in asked:
        assert words[2] in ("up", "exec", "build", "ps", "logs"), words
        if words[2] == "exec":
            assert words[3] in COMPOSE["services"]
    called = [words[words.index("manage.py") + 1] for words in commands() if "manage.py" in words]
    assert called
    assert set(called) <= set(get_commands())


def test_every_file_of_ours_that_is_named_is_there() -> None:
    pattern = r"(?<!exec )(?<!status )(?:/opt/holdfast/)?\b(deploy/[\w./@*-]+[\w*])"  # kubectl's deploy/… is not ours
    named = {"docker-compose.yml", "requirements.txt", *re.findall(pattern, PAGE)}
    assert len(named) > 8
    for path in named:
        assert list(PROJECT.glob(path)), path
    units = {unit for words in commands() if words[0] == "systemctl" for unit in words if unit.startswith("holdfast")}
    for unit in units:
        file = re.sub(r"@.*", "@", unit)
        assert list((PROJECT / "deploy" / "systemd").glob(f"{file}*")), unit


def test_every_variable_is_a_setting_or_read_by_compose() -> None:
    told = {found[1] for block in BLOCKS for line in block.splitlines() if (found := VARIABLE.match(line))}
    assert len(told) > 8
    known = SETTINGS | set(re.findall(r"\$\{([A-Z_0-9]+)", COMPOSE_FILE)) | {"COMPOSE_PROFILES"}
    assert {name for name in told if name.removesuffix("_FILE") not in known} == set()
    profiles = {name for service in COMPOSE["services"].values() for name in service.get("profiles", [])}
    assert set(re.findall(r"^COMPOSE_PROFILES=(\w+)$", "".join(BLOCKS), re.MULTILINE)) == profiles


def test_the_names_of_open_assistant_api_are_read() -> None:
    paragraph = PAGE.partition("### Coming from Open Assistant API")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", paragraph))
    assert len(named) > 10
    assert named <= SETTINGS


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        if path and path != "operations.md":
            assert (PROJECT / "docs" / path).exists(), target
        elif anchor:
            assert anchor in anchors, target

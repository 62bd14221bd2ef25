"""The Dockerfile: what hadolint finds, and rules of our own. `make check-image` builds it."""

import fnmatch
import re
import subprocess

from deploy.tests.tools import PROJECT, tool

DOCKERFILE = (PROJECT / "Dockerfile").read_text()
STAGES = {
    match[1]: match[2]
    for match in re.finditer(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
}
IMAGES = ("holdfast", "sandbox")


def test_hadolint_finds_nothing() -> None:
    command = [tool("hadolint"), "--config", "deploy/hadolint.yaml", "Dockerfile"]
    checked = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_every_stage_rests_on_one_image_that_takes_a_digest() -> None:
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON_IMAGE}", "python"}
    default = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert default
    assert re.search(r":3\.\d+", default[1])


def test_both_images_end_as_a_user_without_rights_and_know_their_health() -> None:
    for name in IMAGES:
        assert re.findall(r"^USER (\S+)", STAGES[name], re.MULTILINE) == ["10001:10001"]
        assert STAGES[name].index("USER ") > STAGES[name].rindex("COPY ")  # what is copied is root's
        assert "--chown" not in STAGES[name]
        health = re.search(r'^HEALTHCHECK .+ CMD \["python", "-m", "([\w.]+)"\]', STAGES[name], re.MULTILINE)
        assert health
        assert (PROJECT / health[1].replace(".", "/")).with_suffix(".py").is_file()


def test_nothing_is_installed_by_pip_in_an_image_that_is_shipped_and_no_list_of_packages_stays() -> None:
    for name in IMAGES:
        assert "pip " not in STAGES[name].replace("id=pip", "")
    for run in re.findall(r"^RUN (.+?)(?<!\\)$", DOCKERFILE, re.MULTILINE | re.DOTALL):
        if "apt-get install" in run:
            assert "rm -rf /var/lib/apt/lists/*" in run
            assert "--no-install-recommends" in run
        assert "pip" not in run or "install" not in run or "--no-cache-dir" in run
    assert not re.search(r"^ADD ", DOCKERFILE, re.MULTILINE)


def test_no_secret_gets_into_a_layer() -> None:
    for name in re.findall(r"^(?:ARG|ENV) (\w+)", DOCKERFILE, re.MULTILINE):
        assert not re.search("KEY|TOKEN|PASSWORD|SECRET", name)
    assert "type=secret,id=pip" in DOCKERFILE


def ignored(path: str) -> bool:
    """As Docker reads .dockerignore: the last pattern that matches the path, or a folder above it, decides."""
    result = False
    parts = path.split("/")
    heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        # fnmatch's * also takes slashes; in patterns without a folder it must not.
        patterns = [pattern.removeprefix("**/"), pattern] if pattern.startswith("**/") else [pattern]
        if any(
            fnmatch.fnmatch(head.rpartition("/")[2] if pattern.startswith("**/") else head, each)
            for head in heads
            for each in patterns
            if pattern.startswith("**/") or "/" in each or "/" not in head
        ):
            result = not line.startswith("!")
    return result


def test_an_image_gets_all_code_that_runs_and_nothing_else() -> None:
    tracked = subprocess.check_output(["git", "ls-files"], cwd=PROJECT, text=True).split("\n")[:-1]
    kept = {path for path in tracked if not ignored(path)}
    folders = {path.split("/")[0] for path in kept}

    applications = {path.split("/")[0] for path in tracked if re.fullmatch(r"\w+/apps\.py", path)}
    assert applications <= folders
    assert folders == applications | {"LICENSE", "manage.py", "requirements.txt", "sandbox", "templates"}
    assert not [path for path in kept if "/tests/" in path or "/." in path or path.startswith(".")]
    code = {path for path in tracked if path.split("/")[0] in folders and "/tests/" not in path}
    assert code - kept == set()
    for secret in (".env", "assistant_site/.env", "var/secrets.json", ".git/config", "deploy/.env"):
        assert ignored(secret), secret

"""`python -m deploy.check.check`: the images and docker-compose.yml as operators use them, on a machine without Docker.

The Dockerfile is built by a real builder (podman's), on a base image made of Debian's packages; Docker's own Compose
reads docker-compose.yml and starts it in a real engine (podman, behind Docker's API). PostgreSQL and Valkey are
Holdfast's embedded ones in images that start as the official ones do. What the engine lacks is left out by `adapted`,
and nothing else; the sandbox, whose profiles podman takes in its own language only, is started by podman itself.

    COMPOSE=/path/of/docker-compose    Docker's Compose 2 (Debian 13: docker-compose), unless `docker compose` is there
    CHECK_PIP_CONFIG=/etc/pip.conf     of a package index of your own, as a build secret
    CHECK_VOLUMES=/a:/a:ro,/b:/b:ro    folders that this configuration names, mounted while images are built
    CHECK_MIRROR=http://…/debian       where debootstrap gets its packages, if not where it does by itself
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from deploy.check.engine import BASE, HERE, NEEDED, Engine

PROJECT = HERE.parents[1]
NAME = "holdfast-check"
PORT = 18086
STAND_INS = {"postgres": "localhost/check-postgres", "valkey": "localhost/check-valkey"}
HEALTHY = ("postgres", "valkey", "web", "worker", "ingestion", "sandbox")
WAIT_SECONDS = 180
# What has no place in an image, as a shell looks for it.
STRANGERS = """
find / -xdev '(' -name .env -o -name .git -o -name pip.conf -o -name secrets.json -o -path '/app/*/tests' ')' -print
ls -d /root/.cache /var/lib/apt/lists/*Packages* 2>/dev/null
which gcc make
find /app /opt -xdev -user 10001 -print | head -n 3
true
"""


class Failed(Exception):
    """A sentence that says what is not as it should be."""


def adapted(told: dict[str, Any]) -> dict[str, Any]:
    """Compose's own reading of docker-compose.yml without what podman 4.3 does not know."""
    for name, service in told["services"].items():
        service.pop("build", None)
        service["image"] = STAND_INS.get(name, f"localhost/{service['image']}")
        service.pop("logging", None)  # no driver `local`
        service.get("healthcheck", {}).pop("start_interval", None)  # Docker 25
    return told


class Check:
    def __init__(self, engine: Engine, compose: list[str]) -> None:
        self.engine = engine
        self._compose = compose
        self._file = engine.folder / "compose.json"
        self.rows: list[tuple[str, str]] = []

    def note(self, what: str, value: str) -> None:
        self.rows.append((what, value))
        print(f"  {what:<58} {value}", flush=True)

    def compose(self, *arguments: str) -> str:
        files = ["--file", str(self._file), "--project-name", NAME, "--project-directory", str(PROJECT)]
        ran = subprocess.run(
            [*self._compose, *files, *arguments], env=self.engine.environment, capture_output=True, text=True
        )
        if ran.returncode:
            raise Failed(f"docker compose {' '.join(arguments)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def build(self) -> None:
        self.engine.make_base(os.environ.get("CHECK_MIRROR", ""))
        options = [f"--build-arg=PYTHON_IMAGE={BASE}"]
        if given := os.environ.get("CHECK_PIP_CONFIG"):
            options.append(f"--secret=id=pip,src={given}")
        options += [f"--volume={each}" for each in os.environ.get("CHECK_VOLUMES", "").split(",") if each]
        for image, target in (("holdfast", "holdfast"), ("holdfast-sandbox", "sandbox")):
            begun = time.monotonic()
            self.engine.build(PROJECT, image, [*options, f"--target={target}"])
            size = int(self.engine.inspect(f"localhost/{image}")["Size"])
            base = int(self.engine.inspect(BASE)["Size"])
            took = f"{time.monotonic() - begun:.0f} s, or less where layers were there"
            self.note(
                f"image {image}", f"{size / 1e6:.0f} MB ({(size - base) / 1e6:.0f} above its base); built in {took}"
            )
        for target in STAND_INS:
            self.engine.build(HERE, STAND_INS[target], [f"--target={target}"])

    def look_into_images(self) -> None:
        run = ("run", "--rm", "--network=none", "--entrypoint=sh")
        for image in ("holdfast", "holdfast-sandbox"):
            found = self.engine.podman(*run, "--user=0", f"localhost/{image}", "-c", STRANGERS)
            if found:
                raise Failed(f"In the image {image} there is what does not belong there:\n{found}")
            self.note(f"image {image}", "no secret, cache, compiler or test in it, and no code its user owns")
        inside = self.engine.podman(*run, "localhost/holdfast-sandbox", "-c", "ls /app; ls /app/sandbox | wc -l")
        if inside.split()[:-1] != ["sandbox"]:
            raise Failed(f"The sandbox's image has more of Holdfast than the sandbox: {inside}")

    def start(self) -> None:
        named = ("--project-name", NAME, "--project-directory", str(PROJECT))
        command = [*self._compose, *named, "config", "--format=json"]
        own = {"BIND": f"127.0.0.1:{PORT}", "COMPOSE_PROFILES": ""}
        told = json.loads(subprocess.check_output(command, cwd=PROJECT, env=self.engine.environment | own, text=True))
        self._sandbox = told["services"].pop("sandbox")
        self._file.write_text(json.dumps(adapted(told), indent=1))
        begun = time.monotonic()
        self.up()
        self.note("docker compose up", f"returns after {time.monotonic() - begun:.0f} s")
        for name in HEALTHY:
            self.wait_healthy(name)
        self.note("all six health checks are well", f"after {time.monotonic() - begun:.0f} s")

    def up(self) -> None:
        self.compose("up", "--detach")
        told = self._sandbox
        options = dict(option.replace("=", ":", 1).split(":", 1) for option in told["security_opt"])
        assert options["systempaths"] == "unconfined"
        assert options["no-new-privileges"] == "true"
        volume = told["volumes"][0]
        self.engine.podman(
            *("run", "--detach", f"--name={NAME}-sandbox-1", f"--label=com.docker.compose.project={NAME}"),
            *(f"--user={told['user']}", f"--network={told['network_mode']}", "--read-only", "--read-only-tmpfs=false"),
            *("--init", *(f"--cap-drop={each}" for each in told["cap_drop"])),
            *(f"--tmpfs={each}" for each in told["tmpfs"]),
            *(f"--volume={NAME}_{volume['source']}:{volume['target']}", f"--pids-limit={told['pids_limit']}"),
            *(f"--memory={told['mem_limit']}", "--security-opt=no-new-privileges", "--security-opt=unmask=ALL"),
            *(f"--security-opt=seccomp={PROJECT / options['seccomp']}", f"localhost/{told['image']}"),
        )

    def down(self, *arguments: str) -> None:
        self.engine.podman("rm", "--force", "--ignore", "--time=15", f"{NAME}-sandbox-1")
        self.compose("down", *arguments)

    def wait_healthy(self, service: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while (state := self.state(service).get("Health", {}).get("Status")) != "healthy":
            if time.monotonic() > deadline:
                logs = self.engine.podman("logs", "--tail=20", f"{NAME}-{service}-1")
                said = self.state(service).get("Health", {}).get("Log", [])[-1:]
                raise Failed(f"{service} is {state} after {WAIT_SECONDS} s: {said}\n{logs}")
            time.sleep(0.5)

    def state(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.inspect(f"{NAME}-{service}-1")["State"]
        return found

    def look_into_containers(self) -> None:
        for service in HEALTHY:
            told = self.engine.inspect(f"{NAME}-{service}-1")
            if not told["HostConfig"]["ReadonlyRootfs"]:
                raise Failed(f"{service} may write to its root file system.")
            if service != "postgres" and told["EffectiveCaps"]:
                raise Failed(f"{service} has capabilities: {told['EffectiveCaps']}")
            status = self.engine.podman("exec", f"{NAME}-{service}-1", "cat", "/proc/1/status")
            held = dict(re.findall(r"^(Uid|NoNewPrivs|CapEff):\t(\S+)", status, re.MULTILINE))
            if service != "postgres" and (held["Uid"] == "0" or held["CapEff"].strip("0")):
                raise Failed(f"{service} runs with too much: {held}")
            if held["NoNewPrivs"] != "1":
                raise Failed(f"{service} may gain privileges.")
        self.note("containers", "read-only, without capabilities, without new privileges, not root")

    def use(self) -> None:
        screen = self.compose("exec", "--no-TTY", "web", "python", "manage.py", "welcome", "--address", self.address)
        found = re.search(r"sk-holdfast-\S+", screen)
        if not found:
            raise Failed(f"manage.py welcome shows no token:\n{screen}")
        self.note("manage.py welcome", "shows a token and the admin's password")
        if "shown only now" in self.compose("exec", "--no-TTY", "web", "python", "manage.py", "welcome"):
            raise Failed("manage.py welcome shows secrets a second time.")
        self.token = found[0]
        self.converse("a conversation, a file found in and cited, code run")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{PORT}"

    def converse(self, what: str) -> None:
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "conversation.py"), f"{self.address}/v1", self.token],
            check=True,
        )
        self.note(what, f"with the official SDK in {time.monotonic() - begun:.0f} s")

    def start_again(self) -> None:
        secrets = self.engine.podman("exec", f"{NAME}-web-1", "sh", "-c", "cat /run/holdfast-secrets/*")
        begun = time.monotonic()
        self.compose("stop")
        self.engine.podman("stop", "--time=15", f"{NAME}-sandbox-1")
        self.note("docker compose stop", f"{time.monotonic() - begun:.0f} s")
        for service in ("web", "worker", "ingestion", "sandbox", "postgres"):
            if code := self.state(service)["ExitCode"]:
                raise Failed(f"{service} was stopped and ended with {code}.")
        self.down()
        self.up()
        for name in HEALTHY:
            self.wait_healthy(name)
        if self.engine.podman("exec", f"{NAME}-web-1", "sh", "-c", "cat /run/holdfast-secrets/*") != secrets:
            raise Failed("The second start made new secrets.")
        self.converse("after `down` and `up`, with the same token and data")

    def end(self) -> None:
        self.down("--volumes", "--timeout=10")


def compose_command() -> list[str]:
    if given := os.environ.get("COMPOSE"):
        return [given]
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if found := shutil.which("docker-compose"):
        return [found]
    sys.exit("There is no Docker Compose 2 here; COMPOSE names one (Debian 13: apt-get install docker-compose).")


def main() -> None:
    missing = [each for each in NEEDED if not shutil.which(each)]
    if missing or os.geteuid():
        sys.exit(f"This needs root and {', '.join(NEEDED)}. Missing here: {', '.join(missing) or 'root'}.")
    folder = Path(os.environ.get("CHECK_FOLDER") or PROJECT / "var" / "check-image").resolve()
    compose = compose_command()
    with Engine(folder) as engine:
        check = Check(engine, compose)
        check.build()
        check.look_into_images()
        try:
            with engine.pulse(NAME):
                check.start()
                check.look_into_containers()
                check.use()
                check.start_again()
        except Failed as problem:
            sys.exit(f"FAILED: {problem}")
        finally:
            if (folder / "compose.json").exists():
                check.end()
    print("\nAll is well:")
    for row in check.rows:
        print("  {:<58} {}".format(*row))


if __name__ == "__main__":
    main()

"""A container engine for a machine without one: podman in a folder of its own, behind a socket with Docker's API.

Nothing of it touches the machine's own containers. Needs root, and of Debian: podman, crun, catatonit, netavark,
aardvark-dns, iptables, debootstrap. The engine's mounts are in a mount namespace of its own and end with it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NEEDED = ("podman", "crun", "debootstrap", "unshare", "nsenter")
BASE = "localhost/python:3.11-slim-bookworm"
PULSE_SECONDS = 0.5


class Engine:
    """While the `with` block lasts, `environment` leads Docker's programs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "engine.sock"
        self._storage = folder / "storage.conf"
        self._settings = folder / "containers.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        own = {"CONTAINERS_STORAGE_CONF": str(self._storage), "CONTAINERS_CONF": str(self._settings)}
        return os.environ | own | {"DOCKER_HOST": f"unix://{self.socket}"}

    def __enter__(self) -> "Engine":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/storage"\nrunroot = "{self.folder}/run"\n'
        )
        self._settings.write_text(
            '[network]\nnetwork_backend = "netavark"\n'
            f'[engine]\ncgroup_manager = "cgroupfs"\nruntime = "{HERE / "runtime"}"\n'
        )
        # crun wants either version of cgroups, not both.
        alone = "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; "
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", alone + f"exec podman system service --time 0 unix://{self.socket}"],
            env=self.environment,
            stderr=open(self.folder / "engine.log", "wb"),
        )
        while not self.socket.is_socket():
            if self._process.poll() is not None:
                raise SystemExit(f"podman does not start:\n{(self.folder / 'engine.log').read_text()}")
            time.sleep(0.1)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self.socket.unlink(missing_ok=True)

    def podman(self, *arguments: str, is_shown: bool = False) -> str:
        """What podman says, in the engine's namespace; raises CalledProcessError."""
        assert self._process
        command = ["nsenter", "--mount", f"--target={self._process.pid}", "--", "podman", *arguments]
        out = None if is_shown else subprocess.PIPE
        err = None if is_shown else subprocess.DEVNULL
        ran = subprocess.run(command, env=self.environment, stdout=out, stderr=err, text=True, check=True)
        return (ran.stdout or "").strip()

    def has(self, image: str) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.podman("image", "exists", image)
            return True
        return False

    def make_base(self, mirror: str = "") -> None:
        """An image like python:3.11-slim-bookworm, out of Debian's packages, unless it is there already.

        `mirror`: where debootstrap gets them; empty: where it does by itself.
        """
        if self.has(BASE):
            return
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        wanted = "--include=python3,python3-venv,python3-pip,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", wanted, "bookworm", str(root), *filter(None, [mirror])], check=True
        )
        # As in the official image: `python` is there, and pip may install beside it.
        for name in ("python", "python3"):
            (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
        # The authorities that this machine trusts; there may be a proxy between it and the package index.
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
        archive = self.folder / "root.tar"
        left_out = ["--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./dev/*", "--exclude=*.deb"]
        subprocess.run(["tar", "-C", str(root), *left_out, "-cf", str(archive), "."], check=True)
        self.podman("import", "--quiet", str(archive), BASE)
        archive.unlink()
        shutil.rmtree(root)

    def build(self, folder: Path, image: str, options: Sequence[str]) -> None:
        self.podman(
            *("build", "--format=docker", "--layers", "--network=host", "--tag", image, *options, str(folder)),
            is_shown=True,
        )

    @contextlib.contextmanager
    def pulse(self, project: str) -> Iterator[None]:
        """Asks all health checks of a project again and again: podman leaves that to systemd's timers."""

        def beat() -> None:
            while not self._stopping.wait(PULSE_SECONDS):
                for name in self._names(project):
                    with contextlib.suppress(subprocess.CalledProcessError):
                        self.podman("healthcheck", "run", name)

        self._stopping.clear()
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _names(self, project: str) -> list[str]:
        with contextlib.suppress(subprocess.CalledProcessError):
            wanted = f"label=com.docker.compose.project={project}"
            return self.podman("ps", "--filter", wanted, "--format", "{{.Names}}").split()
        return []

    def inspect(self, name: str) -> Mapping[str, Any]:
        told: Mapping[str, Any] = json.loads(self.podman("inspect", name))[0]
        return told

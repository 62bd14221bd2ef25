"""As which user the embedded servers run: PostgreSQL refuses to be root, so root lends them a harmless account."""

import os
import shutil
import signal
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from assistant_site.embedded.process import CannotStart

NOBODY = 65534  # the number of `nobody` and `nogroup` nearly everywhere; the names are not needed
CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}  # bits of <linux/capability.h>; the weaker one first


@dataclass(frozen=True)
class Account:
    """A user that is not root. `capability`: what it needs to reach its files below a folder that is closed to it."""

    uid: int
    gid: int
    capability: str | None = None

    def launcher(self, death_signal: signal.Signals) -> list[str]:
        """What to put before a command to run it as this user and to have it die with us.

        setpriv sets the death signal last: the system forgets it whenever a process changes its user.
        """
        program = shutil.which("setpriv")
        if program is None:
            raise CannotStart(
                "As root, Holdfast starts PostgreSQL as another user and needs the program setpriv for it "
                "(Debian: apt-get install util-linux). Install it, or start Holdfast as an ordinary user."
            )
        user = [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        if self.capability:
            kept = f"+{self.capability}"
            user += ["--securebits=+no_setuid_fixup", f"--inh-caps={kept}", f"--ambient-caps={kept}"]
        return [program, *user, "--pdeathsig", death_signal.name.removeprefix("SIG")]

    def give(self, path: Path) -> None:
        """Make the file or folder this user's."""
        os.chown(path, self.uid, self.gid)


def account_for(data: Path, *, reached: Iterable[Path]) -> Account | None:
    """The user to run a server as whose files are in `data`; None: as ourselves.

    Root uses the account that owns the data already, or else `nobody`. `reached`: folders it must get to.
    Raises CannotStart when the data belongs to somebody else, or cannot be reached.
    """
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            raise CannotStart(
                f"The folder {data} belongs to another user (number {owner.st_uid}), probably because Holdfast was "
                "started as root before. Start it as root again, or give the whole folder "
                f"{data.parent} to yourself (chown -R)."
            )
        return None
    uid, gid = (owner.st_uid, owner.st_gid) if owner and owner.st_uid else (NOBODY, NOBODY)
    closed = next((folder for path in reached for folder in _closed_folders(path, uid, gid)), None)
    return Account(uid, gid, _capability_for(closed, uid) if closed else None)


def _closed_folders(path: Path, uid: int, gid: int) -> Iterable[Path]:
    """The folders above `path` (and itself) that this user may not pass through."""
    for folder in [path, *path.parents]:
        if not folder.is_dir():
            continue
        found = folder.stat()
        if found.st_uid == uid:
            needed = stat.S_IXUSR
        elif found.st_gid == gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            yield folder


def _capability_for(closed: Path, uid: int) -> str:
    """The weakest capability we have that opens the folder; a container may have taken some from its root."""
    held = next(
        (int(line.split()[1], 16) for line in _status_lines() if line.startswith("CapPrm:")),
        0,
    )
    for name, bit in CAPABILITIES.items():
        if held >> bit & 1:
            return name
    raise CannotStart(
        f"The folder {closed} is closed to user number {uid}, as which PostgreSQL must run because it refuses to be "
        f"root. Open it (chmod o+x {closed}), set HOLDFAST_VAR to a folder elsewhere, or start Holdfast as an "
        "ordinary user."
    )


def _status_lines() -> list[str]:
    try:
        return Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return []

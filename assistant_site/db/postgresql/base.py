"""Django's PostgreSQL backend, with two things added.

*A health check that costs no round trip.* An idle connection has nothing to read. If the server went away, its end of
the connection is closed and the socket becomes readable: then the connection is dropped before it is used. `SELECT 1`
instead would cost every request a round trip (0.1 to 0.3 ms here).

*The scope* (`assistant_site.db.scope`). Before a statement PostgreSQL is told whose rows to show, unless it was told so
already: as the application's role for a tenant or nobody, as the role that logged in for everything. Outside of a
transaction this lasts; within one, a rollback takes it back, so after a rollback it is told again.
"""

import select
from collections.abc import Callable
from typing import Any

from django.db.backends.postgresql import base
from psycopg import errors
from psycopg.pq import Escaping, ExecStatus, TransactionStatus

from assistant_site.db import scope, walls

_MAY_SET_ROLE = b"SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(session_user, oid, $2)"


class Cursor(base.Cursor):
    """Calls `keep_scope` before whatever it sends."""

    keep_scope: Callable[[], None] = staticmethod(lambda: None)

    def execute(self, *args: Any, **options: Any) -> Any:
        self.keep_scope()
        return super().execute(*args, **options)  # type: ignore[misc]

    def executemany(self, *args: Any, **options: Any) -> None:
        self.keep_scope()
        super().executemany(*args, **options)  # type: ignore[misc]

    def stream(self, *args: Any, **options: Any) -> Any:
        self.keep_scope()
        return super().stream(*args, **options)  # type: ignore[misc]

    def copy(self, *args: Any, **options: Any) -> Any:
        self.keep_scope()
        return super().copy(*args, **options)  # type: ignore[misc]


class DatabaseWrapper(base.DatabaseWrapper):
    _told: str | None = None  # the scope that PostgreSQL was told last; None: unknown
    _role: bytes | None = None  # as whom tenants' work is done; b"": as who logged in; None: unknown

    def is_usable(self) -> bool:
        connection = self.connection
        if connection is None or connection.closed:
            return False
        watch = select.poll()
        watch.register(connection.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
        return not watch.poll(0)

    def get_connection_params(self) -> dict[str, Any]:
        return {**super().get_connection_params(), "cursor_factory": Cursor}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self.forget_scope()
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name)
        if name:  # one on the server's side: Django declares it at once
            self.keep_scope()
        else:
            cursor.keep_scope = self.keep_scope
        return cursor

    # --- The scope --------------------------------------------------------------------------------------------------

    def keep_scope(self) -> None:
        """Has PostgreSQL show what the present scope allows. No round trip if it does so already."""
        wanted = scope.present()
        if wanted != self._told:
            self._tell(wanted)

    def forget_scope(self) -> None:
        """Nothing is known any more of what PostgreSQL was told, and of the roles that there are."""
        self._told = self._role = None

    def _tell(self, wanted: str) -> None:
        pgconn = self.connection.pgconn
        if pgconn.transaction_status == TransactionStatus.INERROR:
            return  # nothing is carried out before the rollback
        role = self._own_role()
        if wanted != scope.EVERYTHING:
            role = self.app_role or role
        tenant = Escaping(pgconn).escape_literal(wanted.encode())
        self._told = None
        self._ask(b"SET ROLE %b; SET %b = %b" % (role, walls.SETTING.encode(), tenant))
        self._told = wanted

    def _own_role(self) -> bytes:
        role = self.settings_dict["OPTIONS"].get("assume_role")
        return Escaping(self.connection.pgconn).escape_identifier(role.encode()) if role else b"NONE"

    @property
    def app_role(self) -> bytes:
        """As whom tenants' work is done, because policies hold for it; empty: who logged in may not become it."""
        if self._role is None:
            # Since PostgreSQL 16 a member of a role may be kept from becoming it.
            how = b"SET" if self.connection.info.server_version >= 160_000 else b"MEMBER"
            found = self._ask(_MAY_SET_ROLE, [walls.ROLE.encode(), how])
            self._role = walls.ROLE.encode() if found.ntuples else b""
        return self._role

    def _ask(self, command: bytes, values: list[bytes] | None = None) -> Any:
        """A statement below Django and psycopg's cursors, which begins no transaction."""
        pgconn = self.connection.pgconn
        with self.wrap_database_errors:
            result = pgconn.exec_params(command, values) if values else pgconn.exec_(command)
            if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                return result
            if self.connection.closed:
                raise errors.OperationalError("the connection is lost")
            raise errors.error_from_result(result)

    def _commit(self) -> Any:
        if self.connection is not None and self.connection.info.transaction_status == TransactionStatus.INERROR:
            self._told = None  # PostgreSQL makes a rollback of it
        return super()._commit()  # type: ignore[misc]

    def _rollback(self) -> Any:
        self._told = None
        return super()._rollback()  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        self._told = None

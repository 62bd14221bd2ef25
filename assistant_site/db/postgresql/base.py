"""Django's PostgreSQL backend, with five things changed here; fewer indexes (`schema`), quicker queries (`compiler`).

*A health check that costs no round trip.* An idle connection has nothing to read. If the server went away, its end of
the connection is closed and the socket becomes readable: then the connection is dropped before it is used. `SELECT 1`
instead would cost every request a round trip (0.1 to 0.3 ms here).

*The scope* (`assistant_site.db.scope`). Before a statement PostgreSQL is told whose rows to show, unless it was told so
already: as the application's role for a tenant or nobody, as the role that logged in for everything. It is told in the
same message as the statement, where that may be one of several: no round trip is added. Outside of a transaction this
lasts; within one, a rollback takes it back, so after a rollback it is told again.

*`BEGIN` goes with the first statement*, in the same message; psycopg would ask for it first, a round trip of its own.
So psycopg never hears of transactions: whether one is due, Django's `autocommit` and the connection's status tell.

*What is `Prepared`* is parsed and planned once for each connection. Its plan must stay good when tables grow, so it is
not made to read them whole: while such statements are sent `enable_seqscan` is off, for all others it is on.

*Times are read by psycopg's C.* Django reads them in Python, to bring them to its time zone. The connection's is the
same, always UTC.
"""

import select
from typing import Any, NamedTuple

from django.db.backends.postgresql import base, operations
from psycopg import errors
from psycopg.pq import Escaping, ExecStatus, TransactionStatus
from psycopg.types.datetime import TimestamptzLoader

from assistant_site.db import scope, walls
from assistant_site.db.postgresql.schema import SchemaEditor
from assistant_site.db.prepared import Prepared

_MAY_SET_ROLE = b"SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(session_user, oid, $2)"


# What may be sent behind another statement in one message, and nearly all that is sent.
_COMPANIONABLE = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ", "SAVEPOINT ", "EXECUTE ")


class Told(NamedTuple):
    """What PostgreSQL was told last: the scope, and whether its plans are to go by index. None: unknown."""

    scope: str | None
    by_index: bool | None


UNKNOWN = Told(None, None)


class Cursor(base.Cursor):
    """Keeps to the scope in whatever it sends, once Django has given it its connection's `wrapper`."""

    wrapper: "DatabaseWrapper | None" = None

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        wrapper = self.wrapper
        is_prepared = type(query) is Prepared
        if is_prepared and wrapper is not None:
            query = wrapper.calling(query)
        if wrapper is None or not (before := wrapper.due(by_index=is_prepared)):
            return super().execute(query, params, **options)  # type: ignore[misc]
        if not isinstance(query, str) or not query.startswith(_COMPANIONABLE):
            wrapper.prepare()
            return super().execute(query, params, **options)  # type: ignore[misc]
        told = Told(scope.present(), is_prepared)
        wrapper.told = UNKNOWN
        words = "; ".join(before)
        words = words if params is None else words.replace("%", "%%")
        super().execute(f"{words}; {query}", params, **options)  # type: ignore[misc]
        wrapper.told = told
        for _ in before:
            self.nextset()  # type: ignore[attr-defined]
        return self

    def prepare(self) -> None:
        if self.wrapper is not None:
            self.wrapper.prepare()

    def executemany(self, *args: Any, **options: Any) -> None:
        self.prepare()
        super().executemany(*args, **options)  # type: ignore[misc]

    def stream(self, *args: Any, **options: Any) -> Any:
        self.prepare()
        return super().stream(*args, **options)  # type: ignore[misc]

    def copy(self, *args: Any, **options: Any) -> Any:
        self.prepare()
        return super().copy(*args, **options)  # type: ignore[misc]


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "assistant_site.db.postgresql.compiler"

    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> str:
        """For the log of queries, which is for people: what was prepared, not its number."""
        if type(sql) is Prepared:
            return str(cursor.connection.cursor().mogrify(str(sql), params))
        found: str = super().last_executed_query(cursor, sql, params)
        return found


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass = SchemaEditor
    ops_class = DatabaseOperations

    told: Told = UNKNOWN
    _prepared: set[str]  # names of statements that PostgreSQL knows
    _role: str | None = None  # as whom tenants' work is done; empty: as who logged in; None: unknown

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
        self._prepared = set()
        connection = super().get_new_connection(conn_params)
        connection.adapters.register_loader("timestamptz", TimestamptzLoader)
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        """As Django makes them, which would have the times of each read in Python."""
        if name:
            make: Any = base.ServerSideCursor
            cursor = make(self.connection, name=name, scrollable=False, withhold=self.get_autocommit())
            self.prepare()  # Django declares it at once
        else:
            cursor = self.connection.cursor()
            cursor.wrapper = self
        return cursor

    def calling(self, query: Prepared) -> str:
        """What to send for it, once this connection has it prepared."""
        if self.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            return query  # nothing is carried out before the rollback
        for name, words in query.parts:
            if name not in self._prepared:
                self._check(self.connection.pgconn.prepare(name.encode(), words.encode()))
                self._prepared.add(name)
        return query.call

    # --- What a statement needs before it --------------------------------------------------------------------------

    def due(self, *, by_index: bool = False) -> list[str]:
        """The statements that PostgreSQL must be told before anything else is asked, or what is to go `by_index`."""
        status = self.connection.pgconn.transaction_status
        if status == TransactionStatus.INERROR:
            return []  # nothing is carried out before the rollback
        before = self._scope_words()
        if self.told.by_index is not by_index:
            before.append(f"SET enable_seqscan = {'off' if by_index else 'on'}")
        if status == TransactionStatus.IDLE and not self.autocommit:
            before.insert(0, self._begin_words())
        return before

    def prepare(self) -> None:
        """Has PostgreSQL show what the present scope allows, in a transaction if one is due. It may know already."""
        if before := self.due():
            told = Told(scope.present(), by_index=False)
            self.told = UNKNOWN
            self._ask("; ".join(before).encode())
            self.told = told

    def _begin_words(self) -> str:
        level = self.connection.isolation_level
        return "BEGIN" if level is None else f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}"

    def _set_autocommit(self, autocommit: bool) -> None:
        """Nothing to do: `due` looks at Django's own `autocommit`."""
        if not self.connection.autocommit:
            with self.wrap_database_errors:
                self.connection.autocommit = True

    # --- The scope --------------------------------------------------------------------------------------------------

    def _scope_words(self) -> list[str]:
        wanted = scope.present()
        if wanted == self.told.scope:
            return []
        role = self._own_role()
        if wanted != scope.EVERYTHING:
            role = self.app_role or role
        tenant = Escaping(self.connection.pgconn).escape_literal(wanted.encode()).decode()
        return [f"SET ROLE {role}", f"SET {walls.SETTING} = {tenant}"]

    def forget_scope(self) -> None:
        """Nothing is known any more of what PostgreSQL was told, and of the roles that there are."""
        self.told, self._role = UNKNOWN, None

    def _own_role(self) -> str:
        role = self.settings_dict["OPTIONS"].get("assume_role")
        return Escaping(self.connection.pgconn).escape_identifier(role.encode()).decode() if role else "NONE"

    @property
    def app_role(self) -> str:
        """As whom tenants' work is done, because policies hold for it; empty: who logged in may not become it."""
        if self._role is None:
            # Since PostgreSQL 16 a member of a role may be kept from becoming it.
            how = b"SET" if self.connection.info.server_version >= 160_000 else b"MEMBER"
            found = self._ask(_MAY_SET_ROLE, [walls.ROLE.encode(), how])
            self._role = walls.ROLE if found.ntuples else ""
        return self._role

    def _ask(self, command: bytes, values: list[bytes] | None = None) -> Any:
        """A statement below Django and psycopg's cursors, which begins no transaction."""
        pgconn = self.connection.pgconn
        return self._check(pgconn.exec_params(command, values) if values else pgconn.exec_(command))

    def _check(self, result: Any) -> Any:
        with self.wrap_database_errors:
            if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                return result
            if self.connection.closed:
                raise errors.OperationalError("the connection is lost")
            raise errors.error_from_result(result)

    def _commit(self) -> Any:
        if self.connection is not None and self.connection.info.transaction_status == TransactionStatus.INERROR:
            self.told = UNKNOWN  # PostgreSQL makes a rollback of it
        return super()._commit()  # type: ignore[misc]

    def _rollback(self) -> Any:
        self.told = UNKNOWN
        return super()._rollback()  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        self.told = UNKNOWN

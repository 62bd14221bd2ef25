"""Statements that PostgreSQL parses and plans once for each connection, not each time they are sent.

Of what a run's own statements cost PostgreSQL, between a third and two thirds is that (docs/adr/0015-speed.md). They go
through Django's cursor like any other; `assistant_site.db.postgresql` sends `EXECUTE` with the values instead, in one
message with whatever must be told before. A plan that was made while a table was small stays until PostgreSQL counts
the table again, so none may read a table whole that has an index for the question: the backend sees to that too.
"""

import hashlib
from typing import NamedTuple, Self


class Part(NamedTuple):
    name: str
    words: str  # with $1, $2, …


class Prepared(str):
    """SQL with a `%s` wherever a value is given: one statement, or several that are sent in one message.

    Only for SQL that is always the same, because each connection keeps what it has prepared. What type a value has must
    follow from where it stands.

    Unless it `waits_for_disk`, PostgreSQL answers before its transaction is on disk. If PostgreSQL then dies at once,
    it may be as if the statement had never been sent; but never if a later one that waits has been answered.
    """

    parts: list[Part]
    call: str  # what is sent in its place

    def __new__(cls, *statements: str, waits_for_disk: bool = True) -> Self:
        self = super().__new__(cls, "; ".join(statements))
        self.parts = [_part(statement) for statement in statements]
        calls = []
        for statement, part in zip(statements, self.parts, strict=True):
            places = ", ".join(["%s"] * statement.count("%s"))
            calls.append(f"EXECUTE {part.name}({places})" if places else f"EXECUTE {part.name}")
        if not waits_for_disk:  # at the end, because what is sent together is one transaction, and ends then
            calls.append("SET LOCAL synchronous_commit = off")
        self.call = "; ".join(calls)
        return self


def _part(statement: str) -> Part:
    first, *rest = statement.split("%s")
    numbered = first + "".join(f"${number}{text}" for number, text in enumerate(rest, 1))
    digest = hashlib.blake2s(statement.encode(), digest_size=8).hexdigest()
    return Part(f"holdfast_{digest}", numbered.replace("%%", "%"))

"""What threads are called in lists, and how they are found by what was said in them."""

import time
from collections.abc import Sequence

from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from assistant_site.wire.lists import PageQuery
from tenants.models import Tenant
from threads.models import Message, Thread

LONGEST = 80  # of a title that is made; the same with its "…"
BEGINNING = 50  # messages of a thread that are looked at, for its title and by a search
MAX_SEARCH = 200

# A search looks at so many threads and no more, a batch at once. Nor does it begin another batch after so many seconds:
# texts of 120 MB take one, which is what ten threads may have in their first messages; so the first batch is small.
BATCHES = (10, 40, 150, 300, 500)
SEARCH_SECONDS = 1.0

_THREAD, _MESSAGE = Thread._meta.db_table, Message._meta.db_table
_BLANKS = " \t\n\r\f\v\u00a0\u3000\ufeff"

# Texts may be long, and only how the first line begins is wanted of them.
_FIRST_WORDS = f"""
    SELECT asked.id, said.words
    FROM unnest(%s::text[]) AS asked(id)
    CROSS JOIN LATERAL (
        SELECT content FROM (
            SELECT id, role, content FROM {_MESSAGE}
            WHERE thread_id = asked.id AND tenant_id = %s ORDER BY id LIMIT {BEGINNING}
        ) AS beginning
        WHERE role = 'user' ORDER BY id LIMIT 1
    ) AS first
    CROSS JOIN LATERAL (
        SELECT string_agg(left(ltrim(part #>> '{{}}', %s), 2000), E'\\n') AS words
        FROM jsonb_path_query(first.content, '$[*].text.value') AS part
    ) AS said
"""  # noqa: S608 our own words

# No pattern, so that % and _ are letters as others. What is compared comes from index scans that are bounded, because
# behind row-level security no index could answer such a condition.
_SAYS = f"""
    (strpos(lower({_THREAD}.title), lower(%s)) > 0 OR EXISTS (
        SELECT 1 FROM (
            SELECT content FROM {_MESSAGE}
            WHERE {_MESSAGE}.thread_id = {_THREAD}.id AND {_MESSAGE}.tenant_id = {_THREAD}.tenant_id
            ORDER BY {_MESSAGE}.id LIMIT {BEGINNING}
        ) AS beginning, jsonb_path_query(beginning.content, '$[*].text.value') AS part
        WHERE strpos(lower(part #>> '{{}}'), lower(%s)) > 0
    ))
"""  # noqa: S608 our own words


def entitle(tenant: Tenant, threads: Sequence[Thread]) -> None:
    """Sets `shown_title` of each: its title, else one made of its first user message. One query, or none."""
    words: dict[str, str] = {}
    if untitled := [thread.pk for thread in threads if not thread.title]:
        with connection.cursor() as cursor:
            cursor.execute(_FIRST_WORDS, [untitled, tenant.pk, _BLANKS])
            words = dict(cursor.fetchall())
    for thread in threads:
        thread.shown_title = thread.title or made_of(words.get(thread.pk) or "")


def made_of(text: str) -> str:
    """The first line that says something, as a title."""
    line = next(filter(None, (" ".join(line.split()) for line in text.splitlines())), "")
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def narrowed(threads: QuerySet[Thread], archived: bool | None) -> QuerySet[Thread]:
    return threads if archived is None else threads.filter(archived_at__isnull=not archived)


def search(
    threads: QuerySet[Thread], query: PageQuery, words: str, *, archived: bool | None
) -> tuple[list[Thread], str | None]:
    """A page of those of the threads with these words; and where the next request goes on, or None at the end."""
    condition = _SAYS
    if archived:  # few, and with an index
        threads = narrowed(threads, True)
    elif archived is False:  # most: the others among them are looked at, so that they cannot be any number
        condition = f"{_THREAD}.archived_at IS NULL AND {_SAYS}"
    says = RawSQL(condition, (words, words), output_field=BooleanField())  # noqa: S611 only our own words are in it
    rows = query.ordered(threads)
    ids, goes_on = _looked_through(rows, query, says)
    by_id = {thread.pk: thread for thread in threads.filter(pk__in=ids)} if ids else {}
    found = [by_id[id] for id in ids if id in by_id]  # one may have been deleted just now
    return (found[::-1] if query.is_backwards else found), goes_on


def _looked_through(rows: QuerySet[Thread], query: PageQuery, says: RawSQL) -> tuple[list[str], str | None]:
    found: list[str] = []
    looked_at = ""
    began = time.monotonic()
    for size in BATCHES:
        rest = query.beyond(rows, looked_at) if looked_at else rows
        batch = list(rest.annotate(says=says).values_list("pk", "says")[:size])
        for id, is_meant in batch:
            if is_meant and len(found) == query.limit:
                return found, found[-1]
            if is_meant:
                found.append(id)
            looked_at = id
        if len(batch) < size:
            return found, None
        if time.monotonic() - began > SEARCH_SECONDS:
            break
    return found, looked_at

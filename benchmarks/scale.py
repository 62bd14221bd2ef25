"""Search in one large store beside a thousand small ones: times, recall of the index, sizes, memory.

    make bench-scale

One tenant has a store of 10,000 files with 200,000 passages, 1,000 tenants have one store of 100 passages each. Texts
are words drawn by Zipf's law; vectors have 1,024 dimensions and lie in clusters of clusters. Takes some fifteen minutes
and 4 GB of disk in a temporary folder. The table goes to the terminal and to benchmarks/results/scale.md.
"""

import argparse
import contextlib
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from benchmarks import installation

DIMENSION = 1_024
VOCABULARY = 50_000
LARGE_WORDS = 120  # of a passage; some 230 tokens
SMALL_WORDS = 40
FILES_OF_LARGE = 10_000
PASSAGES_OF_SMALL = 100
ROUNDS = 40
ROUNDS_OF_EXACT = 15  # in the large store, where one takes a second
TRIES = 3  # of each question; the quickest counts, because others use the machine too
TOP = 20


class Texts:
    """Passages and questions out of an invented vocabulary, the same ones each time."""

    def __init__(self) -> None:
        self.random = random.Random(2026)
        letters = "aeiou", "bcdfghklmnprstvz"
        syllables = ["".join(pair) for pair in itertools.product(letters[1], letters[0])]
        made: dict[str, None] = {}
        while len(made) < VOCABULARY:
            made["".join(self.random.choices(syllables, k=self.random.randint(2, 4)))] = None
        self.words = list(made)
        self.weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(VOCABULARY)))

    def passage(self, words: int) -> str:
        return " ".join(self.random.choices(self.words, cum_weights=self.weights, k=words))

    def question(self) -> str:
        """Eight words: half of them frequent, as in real questions."""
        frequent = self.random.choices(self.words[:100], k=4)
        rare = self.random.choices(self.words[500:20_000], k=4)
        return " ".join(self.random.sample(frequent + rare, k=8))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--passages", type=int, default=200_000, help="of the large store")
    arguments.add_argument("--tenants", type=int, default=1_000, help="with a small store")
    options = arguments.parse_args()
    installation.prepare(EMBEDDING_MODEL="off")
    report = Report()
    texts = Texts()
    small = make_small_stores(options.tenants, texts, report)
    queries = [texts.question() for _ in range(ROUNDS)]
    measure_small("alone", small, queries, report)
    large = make_large_store(options.passages, texts, report)
    measure_small("beside the large store", small, queries, report)
    exact = measure_large("exact", large, queries, report)
    build_index(large, report)
    indexed = measure_large("its own index", large, queries, report)
    report.recall = sum(len(set(a) & set(b)) for a, b in zip(exact, indexed, strict=True)) / (TOP * len(exact))
    measure_small("beside the large store with its index", small, queries, report)
    report.sizes()
    text = report.markdown(options)
    sys.stdout.write(text)
    (installation.RESULTS / "scale.md").write_text(text)


# --- Making ----------------------------------------------------------------------------------------------------------


def make_small_stores(tenants: int, texts: Texts, report: "Report") -> list[Any]:
    from tenants.models import Tenant
    from vector_stores.models import VectorStore

    make_vector_parts()
    made = Tenant.objects.bulk_create([Tenant(name=f"tenant {number}") for number in range(tenants)])
    stores = VectorStore.objects.insert(
        [VectorStore(tenant=tenant, embedding_model="model", embedding_dimension=DIMENSION) for tenant in made]
    )
    with report.timed("making the small stores"):
        fill(stores, 1, PASSAGES_OF_SMALL, texts, SMALL_WORDS)
    return stores


def make_large_store(passages: int, texts: Texts, report: "Report") -> Any:
    from tenants.models import Tenant
    from vector_stores.models import VectorStore

    store = VectorStore.objects.create(
        tenant=Tenant.objects.create(name="large"), embedding_model="model", embedding_dimension=DIMENSION
    )
    with report.timed("making the large store"):
        fill([store], FILES_OF_LARGE, passages // FILES_OF_LARGE, texts, LARGE_WORDS)
    return store


def fill(stores: Sequence[Any], files_each: int, passages_each: int, texts: Texts, words_each: int) -> None:
    """Rows as ingestion writes them: files, passages with their words, vectors."""
    from django.db import connection

    from files.models import File
    from vector_stores.models import StoreFile, StoreFileStatus
    from vector_stores.words import tsvector_of

    for store in stores:
        owner = {"tenant_id": store.tenant_id}
        files = File.objects.insert(
            [
                File(purpose="assistants", filename=f"{number}.txt", bytes=1, sha256="", blob="", **owner)
                for number in range(files_each)
            ]
        )
        store_files = StoreFile.objects.insert(
            [
                StoreFile(
                    vector_store=store, file=file, status=StoreFileStatus.COMPLETED, chunk_count=passages_each, **owner
                )
                for file in files
            ]
        )
        columns = (
            'tenant_id, vector_store_id, store_file_id, position, text, tokens, token_count, start, "end", heading'
        )
        with connection.cursor() as cursor, cursor.copy(f"COPY vector_stores_chunk ({columns}) FROM STDIN") as copy:
            for store_file in store_files:
                for position in range(passages_each):
                    text = texts.passage(words_each)
                    place = (store.tenant_id, store.pk, store_file.pk, position)
                    copy.write_row((*place, text, tsvector_of(text, store.pk), len(text) * 2 // 7, 0, len(text), ""))
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO vector_stores_embedding "
                "SELECT chunk.id, 0, tenant_id, vector_store_id, store_file_id, made_vector(chunk.id) "
                "FROM vector_stores_chunk AS chunk WHERE vector_store_id = %s",
                [store.pk],
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE vector_stores_chunk, vector_stores_embedding, vector_stores_storefile")


LEVELS = ((200, 1.0), (4_000, 0.7), (20_000, 0.5), (20_000, 0.35))


def make_vector_parts() -> None:
    """`made_vector(number)`: a cluster's centre, plus a sub-cluster's, a group's and noise; the same each time."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.4)")
        cursor.execute("CREATE TABLE bench_part (level int, number int, part halfvec, PRIMARY KEY (level, number))")
        cursor.execute("ALTER TABLE bench_part ALTER part SET STORAGE PLAIN")
        for level, (count, size) in enumerate(LEVELS):
            cursor.execute(
                "INSERT INTO bench_part SELECT %s, number, ("
                # Naming `number` inside makes PostgreSQL draw anew for each row.
                "  SELECT array_agg(value)::real[] FROM ("
                "    SELECT random_normal(0, %s) + number * 0 AS value FROM generate_series(1, %s)"
                "  ) AS drawn"
                ")::halfvec FROM generate_series(0, %s) AS number",
                [level, size, DIMENSION, count - 1],
            )
        # Each cluster has its own sub-clusters and each of these its own groups, by the remainders of one hash.
        cursor.execute(
            "CREATE FUNCTION made_vector(number bigint) RETURNS halfvec LANGUAGE sql STABLE AS $$ "
            "SELECT a.part + b.part + c.part + d.part FROM bench_part a, bench_part b, bench_part c, bench_part d, "
            "(SELECT abs(hashint8(number)::bigint) AS h, abs(hashint8extended(number, 7) % 1000000007) AS n) AS hashed "
            f"WHERE a.level = 0 AND a.number = (h % {LEVELS[1][0]}) % {LEVELS[0][0]} "
            f"AND b.level = 1 AND b.number = h % {LEVELS[1][0]} "
            f"AND c.level = 2 AND c.number = h % {LEVELS[2][0]} "
            f"AND d.level = 3 AND d.number = n % {LEVELS[3][0]} $$"
        )


def query_vectors(count: int) -> list[str]:
    """Vectors that are in no store, out of the same clusters."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT made_vector(number)::text FROM generate_series(%s, %s) AS number", [10**9, 10**9 + count - 1]
        )
        return [vector for (vector,) in cursor.fetchall()]


def build_index(store: Any, report: "Report") -> None:
    from django.utils import timezone

    from vector_stores import large_stores
    from vector_stores.models import StoreFile

    StoreFile.objects.across_tenants().filter(vector_store=store).update(queued_at=timezone.now() - timedelta(hours=1))
    with report.timed("building the large store's index"):
        large_stores.tend_now()
    store.refresh_from_db()
    assert store.indexed_chunks, "the index was not made"


# --- Measuring -------------------------------------------------------------------------------------------------------


def measure_small(title: str, stores: Sequence[Any], queries: Sequence[str], report: "Report") -> None:
    chosen = random.Random(3).choices(stores, k=len(queries))
    measure(f"small, {title}", list(zip(chosen, queries, query_vectors(len(queries)), strict=True)), report)


def measure_large(title: str, store: Any, queries: Sequence[str], report: "Report") -> list[list[int]]:
    asked = [(store, query, vector) for query, vector in zip(queries, query_vectors(len(queries)), strict=True)]
    timed = ROUNDS if store.indexed_chunks else ROUNDS_OF_EXACT
    return measure(f"large, {title}", asked, report, timed)


def measure(title: str, asked: list[tuple[Any, str, str]], report: "Report", timed: int = ROUNDS) -> list[list[int]]:
    """Times of each way to search, one after the other; returns what the vectors found for all questions."""
    from unittest.mock import patch

    from assistant_site.llm.chat import Endpoint
    from vector_stores import bm25, embedding, vectors
    from vector_stores.searching import _place, _scope, search

    class Known(embedding.Embedder):
        """Stands for the embedding server, whose time is not ours to measure."""

        def embed_query(self, text: str) -> str:
            return vector_of[text]

    vector_of = {query: vector for _, query, vector in asked}
    scopes = {store.pk: _scope([store], None) for store, _, _ in asked}
    ways: dict[str, Callable[[Any, str], Any]] = {
        "words": lambda store, query: bm25.best(query, scopes[store.pk], 50),
        "vectors": lambda store, query: vectors.nearest(_place(store), vector_of[query], 50),
        "the whole search": lambda store, query: search([store], [query], limit=TOP),
    }
    embedder = Known(Endpoint("http://nobody", "none"), "model", tenant_id="tenant_none")
    with patch("vector_stores.embedding.wanted_model", return_value=embedder):
        for name, way in ways.items():
            for store, query, _ in asked[:5]:
                way(store, query)
            report.times[title, name] = [seconds(way, store, query) for store, query, _ in asked[:timed]]
    return [[hit.chunk_id for hit in vectors.nearest(_place(store), v, TOP)] for store, _, v in asked]


def seconds(way: Callable[[Any, str], Any], store: Any, query: str) -> float:
    """The quickest of some tries."""
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        way(store, query)
        times.append(time.perf_counter() - began)
    return min(times)


class Report:
    def __init__(self) -> None:
        self.times: dict[tuple[str, str], list[float]] = {}
        self.took: dict[str, float] = {}
        self.bytes: dict[str, str] = {}
        self.recall = 0.0

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        sys.stdout.write(f"{what} ...\n")
        sys.stdout.flush()
        began = time.perf_counter()
        yield
        self.took[what] = time.perf_counter() - began

    def sizes(self) -> None:
        """Of tables and indexes, and the memory of PostgreSQL's processes with what they share counted once."""
        from django.conf import settings
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname, pg_size_pretty(CASE relkind WHEN 'r' THEN pg_table_size(oid) ELSE "
                "pg_relation_size(oid) END) FROM pg_class WHERE relkind IN ('r', 'i') AND "
                "relname ~ '^(vector_stores_(chunk|embedding)|words_of|hnsw_|embeddings_of|chunks_of)' "
                "AND pg_relation_size(oid) > 1000000 ORDER BY relname"
            )
            self.bytes = dict(cursor.fetchall())
            cursor.execute("SELECT pg_size_pretty(pg_database_size(current_database()))")
            self.bytes["the whole database"] = cursor.fetchone()[0]
        server = psutil.Process(int((settings.VAR_DIR / "postgres" / "postmaster.pid").read_text().split()[0]))
        shared = sum(each.memory_full_info().pss for each in (server, *server.children(recursive=True)))
        self.bytes["memory of PostgreSQL's processes (PSS)"] = f"{shared / 2**20:.0f} MB"

    def markdown(self, options: argparse.Namespace) -> str:
        lines = [
            "# Scale: one large store beside a thousand small ones",
            "",
            f"`make bench-scale` on {datetime.now(tz=UTC):%Y-%m-%d}, revision {installation.revision()}: "
            f"{installation.machine()}.",
            "",
            f"Large: {FILES_OF_LARGE:,} files, {options.passages:,} passages of {LARGE_WORDS} words. Small: "
            f"{options.tenants:,} tenants with one store of {PASSAGES_OF_SMALL} passages each. Vectors: {DIMENSION:,} "
            f"dimensions. {ROUNDS} questions of 8 words, one after the other, each {TRIES} times, of which the "
            f"quickest counts ({ROUNDS_OF_EXACT} questions for the exact search of the large store). Milliseconds, "
            "p50 / p95; the whole search is both rankings, their fusion, texts and file names: everything but "
            "embedding the query.",
            "",
            "| store | words | vectors | the whole search |",
            "| --- | --- | --- | --- |",
        ]
        for title in dict.fromkeys(title for title, _ in self.times):
            cells = [self._cell(self.times[title, way]) for way in ("words", "vectors", "the whole search")]
            lines.append(f"| {title} | {' | '.join(cells)} |")
        lines += ["", f"Recall@{TOP} of the index against the exact search: {self.recall:.3f}.", ""]
        lines += [
            "| work | seconds |",
            "| --- | --- |",
            *(f"| {what} | {took:.0f} |" for what, took in self.took.items()),
        ]
        lines += [
            "",
            "| what | size |",
            "| --- | --- |",
            *(f"| {what} | {size} |" for what, size in self.bytes.items()),
        ]
        return "\n".join(lines) + "\n"

    def _cell(self, times: list[float]) -> str:
        return " / ".join(f"{installation.percentile(times, share) * 1_000:.1f}" for share in (0.5, 0.95))


if __name__ == "__main__":
    main()

"""How well searches find: by words, by meaning, by both, over manual pages in English, Chinese and Japanese.

    make bench-retrieval

A page's one-line description is a question, the rest of the page, cut into passages by the product's own chunking, is
its answer (`manpages`). All passages lie in one store; a page of the same name in another language is its translation
and counts as found. Vectors come from a real multilingual model through the product's embedder. The table goes to the
terminal and to benchmarks/results/retrieval.md.
"""

import argparse
import copy
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import installation
from benchmarks.manpages import Page, download, pages

if TYPE_CHECKING:  # models are imported once the installation is there
    from vector_stores.searching import Hit
    from vector_stores.tests.shelf import Shelf

ENVIRONMENT = installation.PROJECT / ".venv-bench"
MODEL = "multilingual-e5-small, 4 bits"
LANGUAGES = {"en": "English", "zh": "Chinese", "ja": "Japanese"}
PAGES = 330  # of each language
QUESTIONS = 250  # of each language
PASSAGES_OF_PAGE = 6
PASSAGE_TOKENS = 100
FOUND_WITHIN = 5
RANKED = 10

Search = Callable[[str], "list[Hit]"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tune", action="store_true", help="also weights of the two rankings")
    options = arguments.parse_args()
    folder = ENVIRONMENT / "manpages"
    download(folder)
    chosen = [page for language in LANGUAGES for page in _chosen(pages(folder, language))]
    with embedding_server() as base_url:
        installation.prepare(
            EMBEDDING_BASE_URL=base_url,
            EMBEDDING_MODEL=MODEL,
            EMBEDDING_QUERY_PREFIX="query:",
            EMBEDDING_PASSAGE_PREFIX="passage:",
        )
        shelf, passages, seconds = filled(chosen)
        asked = [page for language in LANGUAGES for page in _asked(chosen, language)]
        results = {
            name: [_rank(page, way(page.question)) for page in asked] for name, way in ways(shelf, options).items()
        }
    text = markdown(results, asked, passages, seconds)
    sys.stdout.write(text)
    (installation.RESULTS / "retrieval.md").write_text(text)


def _chosen(found: list[Page]) -> list[Page]:
    """Pages with a question first, so that there are enough of them."""
    drawn = random.Random(2026).sample(found, len(found))
    return sorted(drawn, key=lambda page: not page.question)[:PAGES]


def _asked(chosen: Sequence[Page], language: str) -> list[Page]:
    return [page for page in chosen if page.language == language and page.question][:QUESTIONS]


@contextmanager
def embedding_server() -> Iterator[str]:
    from assistant_site.tests.stack import free_port

    port = free_port()
    # Threads that wait for each other must not spin: other programs want the cores.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    program = [str(ENVIRONMENT / "bin" / "python"), str(Path(__file__).with_name("embedding_server.py"))]
    server = subprocess.Popen(
        [*program, str(port), str(ENVIRONMENT / "vectors.sqlite")], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n", "the embedding server did not start"
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def filled(chosen: Sequence[Page]) -> tuple["Shelf", int, float]:
    """The store with its passages, their number, and how long embedding them took."""
    from tenants.models import Tenant
    from vector_stores.embedding import wanted_model
    from vector_stores.tests.shelf import Shelf

    cut = {page: passages_of(page.text) for page in chosen}
    texts = [text for each in cut.values() for text in each]
    tenant = Tenant.objects.create(name="reader")
    embedder = wanted_model(tenant.pk)
    assert embedder is not None
    began = time.perf_counter()
    vectors: dict[str, list[float]] = {}
    for at in range(0, len(texts), 64):
        batch = texts[at : at + 64]
        vectors |= zip(batch, embedder.embed(batch), strict=True)
        sys.stderr.write(f"\r{at + len(batch)} of {len(texts)} passages embedded")
    seconds = time.perf_counter() - began
    sys.stderr.write("\n")
    shelf = Shelf(tenant, vectors.__getitem__, model=MODEL, dimension=len(vectors[texts[0]]))
    for page, parts in cut.items():
        shelf.put(page.name, *parts)
    return shelf, len(texts), seconds


def passages_of(text: str) -> list[str]:
    from vector_stores.chunking import chunks_of
    from vector_stores.extraction import Document

    document = Document(text=text, pages=(), tables=(), has_lines=False)
    made = chunks_of(document, max_tokens=PASSAGE_TOKENS, overlap_tokens=0)
    return [passage.text for passage in made[:PASSAGES_OF_PAGE]]


def ways(shelf: "Shelf", options: argparse.Namespace) -> dict[str, Search]:
    from vector_stores.searching import Weights, search

    only_words = copy.copy(shelf.store)
    only_words.embedding_model = ""

    def hybrid(embedding: float, text: float) -> Search:
        return lambda query: search([shelf.store], [query], limit=50, weights=Weights(embedding, text))

    found: dict[str, Search] = {
        "keyword": lambda query: search([only_words], [query], limit=50),
        "vector": hybrid(1, 0),
        "hybrid": hybrid(1, 1),
    }
    if options.tune:
        found |= {f"hybrid, weights {e}:{t}": hybrid(e, t) for e, t in ((3, 1), (2, 1), (1.5, 1), (1, 2))}
    return found


def _rank(page: Page, hits: "Sequence[Hit]") -> int | None:
    """The place of the right page among the pages found; None: not there."""
    names = list(dict.fromkeys(hit.filename for hit in hits))
    return names.index(page.name) + 1 if page.name in names else None


def recall(ranks: Sequence[int | None]) -> float:
    return sum(rank is not None and rank <= FOUND_WITHIN for rank in ranks) / len(ranks)


def ndcg(ranks: Sequence[int | None]) -> float:
    """With one right page, the discount of its place."""
    return sum(1 / math.log2(1 + rank) for rank in ranks if rank is not None and rank <= RANKED) / len(ranks)


def markdown(results: dict[str, list[int | None]], asked: Sequence[Page], passages: int, seconds: float) -> str:
    lines = [
        "# Retrieval: words, meaning, and both",
        "",
        f"`make bench-retrieval` on {datetime.now(tz=UTC):%Y-%m-%d}, revision {installation.revision()}: "
        f"{installation.machine()}.",
        "",
        f"{len(asked)} questions over {passages:,} passages of {3 * PAGES} manual pages (Debian's manpages, "
        f"manpages-dev, manpages-zh, manpages-ja). Embeddings: {MODEL}; the passages took {seconds:.0f} s, less where "
        "they were known from a former run.",
        "",
        f"recall@{FOUND_WITHIN} / nDCG@{RANKED} of the right page.",
        "",
        f"| ranking | {' | '.join(LANGUAGES.values())} | all |",
        f"| --- |{' --- |' * (len(LANGUAGES) + 1)}",
    ]
    for name, ranks in results.items():
        cells = []
        for language in [*LANGUAGES, ""]:
            of_language = [r for r, page in zip(ranks, asked, strict=True) if language in ("", page.language)]
            cells.append(f"{recall(of_language):.3f} / {ndcg(of_language):.3f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

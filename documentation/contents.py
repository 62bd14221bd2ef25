"""The site's table of contents: every page once, under its section."""

from dataclasses import dataclass
from pathlib import Path

from documentation.endpoints import GROUPS, file_of

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"


@dataclass(frozen=True)
class Section:
    """Pages of the site in their order. A name with a `*` stands for all pages of that pattern that are named
    nowhere else.
    """

    title: str
    pages: tuple[str, ...]


SECTIONS = (
    Section("Start", ("index.md", "quickstart.md", "playground.md", "demo-model.md")),
    Section("Concepts", ("concepts.md", "architecture.md", "run-lifecycle.md")),
    Section(
        "Guides",
        (
            "guides/index.md",
            "guides/from-openai.md",
            "guides/from-open-assistant-api.md",
            "guides/streaming.md",
            "guides/functions.md",
            "guides/*.md",
            "examples/README.md",
        ),
    ),
    Section(
        "Tools",
        (
            "file-search.md",
            "code-interpreter.md",
            "web-search.md",
            "actions.md",
            "mcp.md",
            "adding-a-tool.md",
            "r2r.md",
        ),
    ),
    Section(
        "Operate",
        (
            "deployment.md",
            "configuration.md",
            "operations.md",
            "backup.md",
            "upgrading.md",
            "doctor.md",
            "files.md",
            "admin.md",
            "tokens.md",
            "providers.md",
            "limits.md",
            "billing.md",
            "audit.md",
            "deletion.md",
            "metrics.md",
            "tracing.md",
            "logs.md",
            "scaling.md",
            "security.md",
            "sandbox-walls.md",
            "data-protection.md",
        ),
    ),
    Section(
        "Reference",
        (
            "reference/README.md",
            "compatibility.md",
            "extensions.md",
            *(f"reference/api/{file_of(group)}" for group in GROUPS),
            "reference/events.md",
            "reference/errors.md",
            "reference/commands.md",
            "reference/tables.md",
            "reference/properties.md",
        ),
    ),
    Section(
        "Project",
        (
            "stability.md",
            "CHANGELOG.md",
            "SECURITY.md",
            "CONTRIBUTING.md",
            "benchmarks.md",
            "benchmarks/results/*.md",
            "chaos.md",
        ),
    ),
    Section("Decisions", ("adr/*.md",)),
)


def in_order(pages: set[str]) -> list[tuple[str, list[str]]]:
    """The sections with those of `pages` that are in them. Raises `LookupError` for pages that are missing or in no
    section.
    """
    named = {name for section in SECTIONS for name in section.pages if "*" not in name}
    if missing := sorted(named - pages):
        raise LookupError(f"{Path(__file__).name} names pages that are not there: {', '.join(missing)}")
    free = pages - named
    found: list[tuple[str, list[str]]] = []
    for section in SECTIONS:
        listed: list[str] = []
        for name in section.pages:
            matching = sorted(page for page in free if Path(page).match(name)) if "*" in name else [name]
            listed += matching
            free -= set(matching)
        found.append((section.title, listed))
    if free:
        raise LookupError(f"{Path(__file__).name} has no section for {', '.join(sorted(free))}")
    return found

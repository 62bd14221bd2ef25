"""Which of a server's tools a run may call, and which of its calls somebody must approve first.

The shapes are those of OpenAI's hosted `mcp` tool: `allowed_tools` is a list of names or a filter, `require_approval`
is `always`, `never`, or an object with a filter under either word.
"""

from collections.abc import Mapping
from typing import Any

ALWAYS, NEVER = "always", "never"


def is_allowed(allowed: Any, name: str, *, read_only: bool) -> bool:
    """`allowed` None: every tool is."""
    if allowed is None:
        return True
    if isinstance(allowed, Mapping):
        return _fits(allowed, name, read_only)
    return bool(name in allowed)


def needs_approval(required: Any, name: str, *, read_only: bool) -> bool:
    """What no filter speaks of needs approval; so does everything if nothing is said."""
    if isinstance(required, Mapping):
        always, never = required.get(ALWAYS), required.get(NEVER)
        if always is not None and _fits(always, name, read_only):
            return True
        return never is None or not _fits(never, name, read_only)
    return bool(required != NEVER)


def _fits(wanted: Mapping[str, Any], name: str, read_only: bool) -> bool:
    """Whether a tool is what the filter names; one that says nothing fits none."""
    names, reads = wanted.get("tool_names"), wanted.get("read_only")
    if names is None and reads is None:
        return False
    return bool((names is None or name in names) and (reads is None or reads == read_only))

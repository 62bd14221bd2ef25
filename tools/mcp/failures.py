"""What went wrong between us and an MCP server, as a sentence for the model.

A sentence names the server by its label. It has no address in it, for the operator's are nobody's business, and no text
of a library; what the server itself says of an error is its own, and is bounded.
"""

import re

MOST_TEXT = 2_000  # characters of what a server says of an error
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class McpFailed(Exception):
    """`message`: the sentence. `was_sent`: whether the server may have begun to carry the call out.

    `is_quoted`: the sentence has the server's own words in it, which do not belong into logs. `is_refusal`: the server
    is there and did not take the request, perhaps because it is another one by now.
    """

    def __init__(
        self, message: str, *, was_sent: bool = False, is_quoted: bool = False, is_refusal: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.was_sent = was_sent
        self.is_refusal = is_refusal
        self.logged = "It answered with an error." if is_quoted else message


def of_status(label: str, status: int) -> str:
    """For an answer that is no success and says nothing in the protocol's terms."""
    who = f"The MCP server '{label}'"
    match status:
        case 401:
            return f"{who} wants other credentials (401)."
        case 403:
            return f"{who} does not allow this with the credentials that it was given (403)."
        case 404 | 405 | 410:
            return f"{who} is not found at its address ({status})."
        case 413:
            return f"{who} does not take a request of this size (413)."
        case 429:
            return f"{who} is asked too often at the moment (429)."
        case _ if 300 <= status < 400:
            return f"{who} redirects to another address, which is not followed ({status})."
        case _ if status >= 500:
            return f"{who} has a fault of its own at the moment ({status})."
        case _:
            return f"{who} refused the request ({status})."


def certainly_refused(status: int) -> bool:
    """Whether an answer with this status says that nothing was carried out."""
    return 300 <= status < 500 and status not in (408, 499)


def no_protocol(label: str, content_type: str = "") -> str:
    known = {"text/html": "with a web page", "text/plain": "with plain text"}
    how = known.get(content_type, "with something that is not the Model Context Protocol")
    return f"The MCP server '{label}' answered {how}."


def broken_off(label: str) -> str:
    return f"The MCP server '{label}' broke off before the end of its answer."


def unreadable(label: str) -> str:
    return f"The answer of the MCP server '{label}' could not be read to its end."


def too_many_parts(label: str) -> str:
    return f"The answer of the MCP server '{label}' has more parts than can be read here."


def unreachable(label: str) -> str:
    return f"The MCP server '{label}' cannot be reached."


def too_slow(label: str, seconds: float) -> str:
    return f"The MCP server '{label}' took longer than {seconds:g} seconds."


def unwritable() -> str:
    return "Nothing was done: the arguments cannot be written: they are nested too deep, or no text."


def wants_input(label: str, tool: str) -> str:
    return f"The tool '{tool}' of the MCP server '{label}' asks for input while it works, which is not possible here."


def said(label: str, text: str) -> str:
    """An error in the server's own words."""
    return f"The MCP server '{label}' answered with an error: {plain(text)}"


def plain(text: str) -> str:
    """A stranger's text, bounded and without control characters."""
    text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + " …"

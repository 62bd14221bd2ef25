"""The one address that an operation is called at."""

import re
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from tools.openapi.faults import BadDocument, Place
from tools.openapi.reading import as_object, as_text

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
# What may stand in a path as it is, and what is encoded already.
PATH_SAFE = "/:@!$&'()*+,;=-._~%"

Origin = tuple[str, str, int]


def server_url(servers: Any, place: Place, document_url: str) -> str:
    """The first server's address without a slash at its end; relative ones count from the document's address.

    Raises `BadDocument`.
    """
    if not servers:
        if not document_url:
            raise BadDocument(
                "servers", "The document does not say where its server is. Give `servers` with one absolute URL."
            )
        return _checked(urljoin(document_url, "/"), place)
    place = (*place, 0)
    server = as_object(servers[0], place)
    filled = _filled(as_text(server.get("url"), (*place, "url")), server.get("variables", {}), place)
    try:
        url = urljoin(document_url, filled) if document_url else filled
    except ValueError:
        raise BadDocument((*place, "url"), f"“{filled[:200]}” is not a valid URL.") from None
    if not document_url and "://" not in url:
        raise BadDocument(
            (*place, "url"),
            f"“{filled[:200]}” is relative, and there is no address of the document that it could count from. "
            "Give an absolute URL.",
        )
    return _checked(url, (*place, "url"))


def _filled(url: str, variables: Any, place: Place) -> str:
    known = as_object(variables, (*place, "variables"))

    def default(found: re.Match[str]) -> str:
        name = found[1]
        if name not in known:
            raise BadDocument((*place, "url"), f"There is no variable “{name[:100]}” that this could be filled with.")
        there: Place = (*place, "variables", name)
        return as_text(as_object(known[name], there).get("default"), (*there, "default"))

    return _VARIABLE.sub(default, url)


def _checked(url: str, place: Place) -> str:
    wrong = BadDocument(place, f"“{url[:200]}” is not a valid URL of a server.")
    if _FORBIDDEN.search(url):
        raise wrong
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("ascii" if (parts.hostname or "").isascii() else "idna").decode()
        port = parts.port
    except (ValueError, UnicodeError):
        raise wrong from None
    if parts.scheme not in ("http", "https"):
        raise BadDocument(place, f"“{url[:200]}” does not begin with http:// or https://.")
    if not host or (":" not in host and not re.fullmatch(r"[a-z0-9._-]+", host)) or port == 0:
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise BadDocument(place, "The URL of a server cannot have a user name or password in it.")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != (443 if parts.scheme == "https" else 80):
        netloc += f":{port}"
    return urlunsplit((parts.scheme, netloc, quote(parts.path, safe=PATH_SAFE).rstrip("/"), "", ""))


def origin(url: str) -> Origin:
    """Scheme, host and port. Raises ValueError for what is no http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)

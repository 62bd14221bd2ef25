"""Frames of server-sent events, as the published clients take them apart: line feeds only, `event: ` first."""

CONTENT_TYPE = "text/event-stream; charset=utf-8"
KEEP_ALIVE = b": keep-alive\n\n"  # a comment, which readers of event streams skip
DONE = b"event: done\ndata: [DONE]\n\n"


def frame(event: bytes, data: bytes, position: int | None = None) -> bytes:
    """One frame. `data` is JSON on one line; `position` becomes the `id:` from which a reader can go on."""
    if position is None:
        return b"event: " + event + b"\ndata: " + data + b"\n\n"
    return b"event: " + event + b"\nid: %d" % position + b"\ndata: " + data + b"\n\n"

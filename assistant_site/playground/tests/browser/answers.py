"""Answers of models for these tests: a text word by word, at a pace that leaves time to do something meanwhile."""

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, Request, Script, answering, said


def model(*script: Script) -> QuirkServer:
    """A provider that answers in this order, the last answer again and again; and tells its models, as pages ask."""
    left = list(script)

    def answer(request: Request) -> Answer:
        if request.method == "GET":
            return answering({"object": "list", "data": [{"id": "scripted", "object": "model"}]})
        step = left.pop(0) if len(left) > 1 else left[0]
        return step(request) if callable(step) else step

    return QuirkServer(answer)


def words(count: int) -> str:
    return " ".join(f"word{number}" for number in range(count))


def slowly(text: str, *, seconds: float, before: int = 0) -> Answer:
    """The text in single words over so many seconds; `before` words of it at once."""
    pieces = text.split(" ")
    pieces = [" ".join(pieces[:before]), *pieces[before:]] if before else pieces
    chunks = [pieces[0], *(f" {each}" for each in pieces[1:])]
    opening = said(*chunks)
    paused: list[bytes | float] = []
    for piece in opening.pieces:
        assert isinstance(piece, bytes)
        paused += [piece, seconds / len(chunks)]
    return Answer(tuple(paused))

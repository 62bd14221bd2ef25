"""What can be wrong: with a document, with the arguments of a call, with an authentication."""

from collections.abc import Iterable

Place = tuple[str | int, ...]


def place_name(place: Iterable[str | int]) -> str:
    """As people write it: `paths./pets.get.parameters[0].schema`."""
    name = ""
    for step in place:
        name += f"[{step}]" if isinstance(step, int) else f".{step}"
    return name.removeprefix(".")


class _Placed(Exception):
    """`place` says where, `message` is a sentence that says what."""

    def __init__(self, place: Iterable[str | int] | str, message: str) -> None:
        self.place = place if isinstance(place, str) else place_name(place)
        self.message = message
        super().__init__(f"{self.place}: {message}" if self.place else message)


class BadDocument(_Placed):
    """The document is no OpenAPI, or asks for something that is not done here."""


class BadAuthentication(_Placed):
    """The authentication cannot be used."""


class BadArguments(Exception):
    """`message` tells the model what is wrong with its arguments, in words."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)

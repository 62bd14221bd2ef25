"""What a look at the installation finds, in words."""

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    WELL = "well"
    WARNING = "warning"  # it works, but not as it should, or not for long
    WRONG = "wrong"  # somebody is harmed by it, or something does not work


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's. `told` and `remedy` are sentences for the operator, with no secret in them."""

    state: State
    part: str
    told: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.part:<12} {' '.join(f'{self.told} {self.remedy}'.split())}"


def well(part: str, told: str) -> Finding:
    return Finding(State.WELL, part, told)


def warning(part: str, told: str, remedy: str) -> Finding:
    return Finding(State.WARNING, part, told, remedy)


def wrong(part: str, told: str, remedy: str) -> Finding:
    return Finding(State.WRONG, part, told, remedy)

"""Deltas add up to what is stored, and what was not told of it is what they lack."""

import copy
import random
from typing import Any

from runs.folding import fold, grow, growth


def test_pieces_make_the_whole() -> None:
    whole: list[dict[str, Any]] = []
    for piece in (
        {"index": 0, "id": "call_1", "type": "code_interpreter", "code_interpreter": {"input": "", "outputs": []}},
        {"index": 0, "type": "code_interpreter", "code_interpreter": {"input": "print("}},
        {"index": 0, "type": "code_interpreter", "code_interpreter": {"input": "1)"}},
        {
            "index": 0,
            "type": "code_interpreter",
            "code_interpreter": {"outputs": [{"index": 0, "type": "logs", "logs": "1"}]},
        },
        {
            "index": 0,
            "type": "code_interpreter",
            "code_interpreter": {"outputs": [{"index": 0, "type": "logs", "logs": "\n"}]},
        },
        {
            "index": 0,
            "type": "code_interpreter",
            "code_interpreter": {"outputs": [{"index": 1, "type": "image", "image": {"file_id": "file-1"}}]},
        },
    ):
        fold(whole, [piece])
    outputs = [{"type": "logs", "logs": "1\n"}, {"type": "image", "image": {"file_id": "file-1"}}]
    assert whole == [
        {"id": "call_1", "type": "code_interpreter", "code_interpreter": {"input": "print(1)", "outputs": outputs}}
    ]


def test_growth_is_what_was_not_told() -> None:
    chance = random.Random(3)
    for _ in range(300):
        outputs: list[dict[str, Any]] = []
        for number in range(chance.randint(0, 4)):
            text = "x" * chance.randint(1, 9)
            outputs.append(
                chance.choice([{"type": "logs", "logs": text}, {"type": "image", "image": {"file_id": f"f{number}"}}])
            )
        whole: dict[str, Any] = {"input": "print(1)", "outputs": outputs}
        known = copy.deepcopy(whole)
        known["input"] = known["input"][: chance.randint(0, 8)]
        del known["outputs"][chance.randint(0, len(outputs)) :]
        if known["outputs"] and known["outputs"][-1]["type"] == "logs":
            known["outputs"][-1]["logs"] = known["outputs"][-1]["logs"][:1]
        piece = growth(whole, known)
        grow(known, piece)
        assert known == whole
        assert growth(whole, known) == {}

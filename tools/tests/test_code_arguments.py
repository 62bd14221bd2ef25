"""The code of a call: told while it is written, and the same text as is run, wherever it is cut."""

import json
import random

import pytest

from tools.code_interpreter.arguments import Listener, Unreadable, code_of, flaw

ALPHABET = [*"abc \n\t\r'\"\\/{}[]:,`~#()=u0d8", "é", "中", "\u2028", "🐈", "\x00", "\x7f", "\\u00e9", "\\ud83d", '\\"']
SOME_CODE = 'import re\nprint("a\\n", re.findall(r"\\d+", "1 2"))\nx = "🐈 中"\n'


def told(pieces: list[str]) -> str:
    listener = Listener()
    return "".join(listener.feed(piece).get("input", "") for piece in pieces)


def cut(text: str, chance: random.Random) -> list[str]:
    pieces = []
    while text:
        size = chance.choice([1, 1, 1, 2, 3, 7, 40])
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def test_any_code_cut_anywhere_is_told_as_it_is_run() -> None:
    chance = random.Random(5)
    for _ in range(4_000):
        code = "".join(chance.choices(ALPHABET, k=chance.randint(1, 30)))
        members = [("code", code), ("title", 'a "title" of, it: {'), ("n", 3), ("nested", {"code": "no"})]
        chance.shuffle(members)
        given = dict(members[: chance.randint(1, 4)]) | {"code": code}
        written = json.dumps(given, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
        if flaw(written):
            assert not code.strip() or "```" in code or "~~~" in code
            continue
        run = code_of(written)
        assert run == code.replace("\x00", "\ufffd") or "```" in code or "~~~" in code
        heard = told(cut(written, chance))
        assert run.startswith(heard)
        is_first = not any(isinstance(value, dict) for value in list(given.values())[: list(given).index("code")])
        assert heard == run or code.lstrip()[0] in "`~" or not is_first


def test_what_is_told_is_a_beginning_of_what_is_run_whatever_is_written() -> None:
    chance = random.Random(6)
    parts = ['{"code": "', '"code"', "'code'", '{"', "{", "}", '"', ",", "print(1)", "\\", "\\u", "d83d", "```python\n",
             "\n```", '"input": ', "null", "\n", " ", "~~~", "[", "]"]  # fmt: skip
    for _ in range(6_000):
        written = "".join(chance.choices(parts, k=chance.randint(1, 12)))
        heard = told(cut(written, chance))
        assert heard == told([written])
        if not flaw(written):
            assert code_of(written).startswith(heard), written


@pytest.mark.parametrize(
    "written",
    [
        json.dumps({"code": SOME_CODE}),
        json.dumps({"code": SOME_CODE}, ensure_ascii=False),
        json.dumps({"language": "python", "code": SOME_CODE}),
        json.dumps({"input": SOME_CODE}),
        json.dumps({"python": SOME_CODE, "n": 1}),
        json.dumps({"code": None, "script": SOME_CODE}),
        json.dumps(json.dumps({"code": SOME_CODE})),
        str({"code": SOME_CODE}),
        '{"code": "' + json.dumps(SOME_CODE)[1:-1].replace("\\n", "\n").replace("\\\n", "\\\\n") + '"}',
        '{"code": ' + json.dumps(SOME_CODE),
    ],
)
def test_other_ways_to_write_the_arguments(written: str) -> None:
    assert code_of(written) == SOME_CODE
    assert SOME_CODE.startswith(told(list(written)))


@pytest.mark.parametrize(
    "written",
    [
        "print(1)\nprint(2)",
        "```python\nprint(1)\nprint(2)\n```",
        "```\nprint(1)\nprint(2)```",
        "~~~py\nprint(1)\nprint(2)\n~~~\n",
        "```python\nprint(1)\nprint(2)",
        json.dumps({"code": "```python\nprint(1)\nprint(2)\n```"}),
        json.dumps({"code": "\n```python\nprint(1)\nprint(2)\n```\n"}),
        json.dumps("print(1)\nprint(2)"),
    ],
)
def test_plain_python_and_fences(written: str) -> None:
    assert code_of(written) == "print(1)\nprint(2)"
    assert told(list(written)) == ""


def test_python_that_begins_with_a_string_is_python() -> None:
    assert code_of('"""Counts."""\nn = 1') == '"""Counts."""\nn = 1'


def test_escapes_that_json_does_not_know_are_meant_for_python() -> None:
    assert code_of(r'{"code": "re.findall(\"\d+\", \'1\')"}') == r"""re.findall("\d+", '1')"""


def test_halves_of_pairs_are_replaced() -> None:
    assert told(list(r'{"code": "a\ud83db\udc08\ud83d\ud83d\udc08\ud83d"}')) == "a\ufffdb\ufffd\ufffd🐈\ufffd"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "no code"),
        ("{}", "no text under `code`"),
        ("null", "no code"),
        ('{"code": ""}', "no code"),
        ('{"code": " \\n"}', "no code"),
        ('{"code": 3}', "no text under `code`"),
        ('{"kode": "print(1)"}', "no text under `code`"),
        ('{"code": "print(1', "end in the middle"),
        ('{"code": "print("hi")"}', "Escape each quote"),
        ('{"code": "f(\\"a\\", "b")"}', "Escape each quote"),
        ("{code: print(1)}", "could not be read"),
        ("{" * 100_000, "could not be read"),
    ],
)
def test_a_flaw_is_told_with_its_remedy(written: str, says: str) -> None:
    assert says in flaw(written)
    assert '{"code": ' in flaw(written)
    with pytest.raises(Unreadable):
        code_of(written)

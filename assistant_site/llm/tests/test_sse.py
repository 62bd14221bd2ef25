import pytest

from assistant_site.llm import sse
from assistant_site.llm.sse import LineTooLong, PayloadReader


def test_a_line_may_be_long_and_come_in_small_pieces() -> None:
    reader = PayloadReader()
    line = b"data: " + b"x" * (5 * 1024 * 1024)
    got = [payload for at in range(0, len(line), 4_096) for payload in reader.feed(line[at : at + 4_096])]

    assert got == []
    assert [len(payload) for payload in reader.feed(b"\n")] == [5 * 1024 * 1024]


def test_a_line_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_LINE_BYTES", 10)
    reader = PayloadReader()
    reader.feed(b"data: 123")

    with pytest.raises(LineTooLong):
        reader.feed(b"45")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_line_ending_will_do_wherever_it_is_cut(end: bytes) -> None:
    data = b"data: 1" + end + b"data:2" + end + b": c" + end + b"event: x" + end + b"data:" + end + b"data: 3" + end

    for cut in range(len(data)):
        reader = PayloadReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) + reader.end() == [b"1", b"2", b"3"]

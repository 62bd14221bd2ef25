from assistant_site.llm.tokens import IMAGE_TOKENS, estimate_message, estimate_request, estimate_text


def test_a_text_is_its_bytes_by_three_and_a_half_rounded_up() -> None:
    assert [estimate_text(text) for text in ("", "a", "abcdefg", "abcdefgh", "你好")] == [0, 1, 2, 3, 2]


def test_a_request_counts_messages_pictures_calls_and_tools() -> None:
    call = {"id": "1234567", "function": {"name": "abcdefg", "arguments": "1234567"}}
    picture = {"role": "user", "content": [{"type": "text", "text": "abcdefg"}, {"type": "image_url"}]}

    assert estimate_message({"role": "assistant", "content": None, "tool_calls": [call]}) == 6 + 4
    assert estimate_message(picture) == 2 + IMAGE_TOKENS + 4
    assert estimate_request([{"role": "user", "content": "abcdefg"}], [{"a": 1}]) == 3 + 3 + 6

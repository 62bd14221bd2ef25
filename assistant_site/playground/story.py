"""The story that the playground's pictures tell: who asks what, and what a model would answer.

A small OpenAI-compatible server on loopback speaks the answers, word by word as a model does.
"""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = ("gpt-4.1", "gpt-4.1-mini", "qwen3-32b")
FIRST_WORD_SECONDS = 0.35
WORD_SECONDS = 0.006

RIVERS_FILE = """# The long rivers of Europe

## Volga

The Volga rises in the Valdai Hills and flows into the Caspian Sea. It is 3,531 km long, the longest river of Europe.

## Danube

The Danube rises in the Black Forest and flows through ten countries into the Black Sea. It is 2,850 km long.

## Rhine

The Rhine rises in the Alps and flows into the North Sea. It is 1,233 km long.
"""

DRAW = """import matplotlib.pyplot as plt

rivers = {"Volga": 3531, "Danube": 2850, "Rhine": 1233}
fig, axis = plt.subplots(figsize=(6.4, 2.3))
axis.barh(list(rivers), list(rivers.values()), color=["#12604f", "#4d9484", "#a9cfc4"])
axis.invert_yaxis()
axis.set_xlabel("length in km")
for side in ("top", "right"):
    axis.spines[side].set_visible(False)
plt.tight_layout()
plt.show()
print(rivers["Volga"] - rivers["Danube"], "km")
"""

LONGEST = """The **Volga** is the longest, by 681 km {source}.

| river | flows into | length |
| --- | --- | ---: |
| Volga | Caspian Sea | 3,531 km |
| Danube | Black Sea | 2,850 km |
| Rhine | North Sea | 1,233 km |

It is longer than the Danube by the factor

$$\\frac{3531}{2850} \\approx 1.24$$

To compare other rivers, give the function their lengths:

```python
def longest(rivers: dict[str, int]) -> tuple[str, int]:
    first, second = sorted(rivers.values(), reverse=True)[:2]
    return max(rivers, key=rivers.get), first - second
```
"""


@dataclass(frozen=True, eq=False)
class Call:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Scene:
    """What somebody asks, of which assistant, and the model's turns. `days`: how long ago."""

    assistant: str
    asks: str
    turns: tuple[Call | str, ...]
    days: int = 0
    title: str = ""
    file: tuple[str, str] | None = None


LOOKUP_ORDER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "lookup_order",
        "description": "Finds an order by its number, with where it is at the moment.",
        "parameters": {
            "type": "object",
            "properties": {
                "number": {"type": "string", "description": "Such as A-20817"},
                "include_items": {"type": "boolean"},
            },
            "required": ["number"],
        },
    },
}

ASSISTANTS: dict[str, dict[str, Any]] = {
    "writer": {
        "name": "翻訳アシスタント",
        "model": "qwen3-32b",
        "instructions": "自然で丁寧な日本語に訳してください。",
    },
    "service": {
        "name": "客服助手",
        "model": "gpt-4.1-mini",
        "description": "查询订单，回答配送问题。",
        "instructions": "你是一家书店的客服。查询订单后再回答，语气友好、简短。",
        "tools": [LOOKUP_ORDER],
    },
    "guide": {
        "name": "River guide",
        "model": "gpt-4.1",
        "description": "Answers from your files about rivers, calculates and draws.",
        "instructions": (
            "Answer questions about rivers from the files, and cite them.\n"
            "Calculate with Python instead of guessing. Draw a chart where it helps.\n"
            "Use tables for three or more values."
        ),
        "temperature": 0.2,
        "tools": [{"type": "file_search"}, {"type": "code_interpreter"}],
        "metadata": {"team": "geography"},
    },
}

SCENES = (
    Scene(
        "writer",
        "「納期が遅れます」を丁寧な文にしてください。",
        ("「誠に恐れ入りますが、納品まで今しばらくお時間を頂戴いたします。」はいかがでしょうか。",),
        days=3,
    ),
    Scene(
        "guide",
        "Why do rivers meander?",
        ("Water at the outer bank is faster and takes soil with it; at the inner bank it is slower and leaves some.",),
        days=2,
    ),
    Scene(
        "writer",
        "隅田川の紹介文を英語に訳してください。",
        ("The Sumida flows through the heart of Tokyo, past temples, towers and cherry trees.",),
        days=1,
    ),
    Scene(
        "service",
        "可以开发票吗？",
        ("可以。请在订单页面选择“申请发票”，电子发票会在一个工作日内发到您的邮箱。",),
        days=1,
    ),
    Scene(
        "guide",
        "How fast does the Danube flow?",
        ("Between 4 and 9 km/h on most of its way; at the Iron Gates it was once up to 18 km/h.",),
        title="Speed of the Danube",
    ),
    Scene("writer", "俳句を一つ書いてください。", ("春の川\n舟はゆっくり\n花を追う",)),
    Scene(
        "service",
        "订单 A-20817 什么时候到？",
        (
            Call("lookup_order", {"number": "A-20817", "include_items": True}),
            "您的订单正在派送，预计今天 18:00 前送达。",
        ),
        title="订单 A-20817 的配送",
    ),
    Scene(
        "guide",
        "Which river of Europe is the longest, and by how much? Draw the three in my file.",
        (
            Call("file_search", {"queries": ["length of the Volga, the Danube and the Rhine"]}),
            Call("code_interpreter", {"code": DRAW}),
            LONGEST,
        ),
        title="Long rivers of Europe",
        file=("rivers.md", RIVERS_FILE),
    ),
)
WAITING, CONVERSATION = SCENES[6], SCENES[7]


# --- The model -------------------------------------------------------------------------------------------------------


def turn_for(body: Mapping[str, Any]) -> Call | str:
    """What the model does next: the turns of the scene whose question was the last, those that are done left out."""
    messages = body["messages"]
    last = max((at for at, each in enumerate(messages) if each["role"] == "user"), default=-1)
    asked = json.dumps(messages[last], ensure_ascii=False) if last >= 0 else ""
    scene = next((each for each in SCENES if each.asks in asked), None)
    if scene is None:
        return "I am here."
    offered = {each["function"]["name"] for each in body.get("tools") or []}
    turns = [each for each in scene.turns if isinstance(each, str) or each.name in offered]
    done = sum(1 for each in messages[last:] if each["role"] == "assistant")
    turn = turns[min(done, len(turns) - 1)]
    if isinstance(turn, str):
        outputs = " ".join(str(each["content"]) for each in messages[last:] if each["role"] == "tool")
        source = re.search(r"【[^】]*】", outputs)
        return turn.replace("{source}", source[0] if source else "")
    return turn


def chunks(turn: Call | str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    said = turn if isinstance(turn, str) else json.dumps(turn.arguments)
    if isinstance(turn, str):
        yield chunk(role="assistant", content="")
        for word in re.findall(r"\s*\S{1,12}|\s+$", turn):
            yield chunk(content=word)
        yield chunk("stop")
    else:
        call = {"index": 0, "id": f"call_{abs(hash(said)) % 10**9}", "type": "function"}
        yield chunk(tool_calls=[{**call, "function": {"name": turn.name, "arguments": ""}}])
        for at in range(0, len(said), 24):
            yield chunk(tool_calls=[{"index": 0, "function": {"arguments": said[at : at + 24]}}])
        yield chunk("tool_calls")
    prompt, completion = len(json.dumps(body, ensure_ascii=False)) // 4, max(1, len(said) // 3)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    yield {"id": "chatcmpl-1", "choices": [], "usage": usage}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # an answer ends with its connection

    def do_GET(self) -> None:
        self._head("application/json")
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "story"} for name in MODELS]
        self.wfile.write(json.dumps({"object": "list", "data": models}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._head("text/event-stream")
        time.sleep(FIRST_WORD_SECONDS)
        for chunk in chunks(turn_for(body), body):
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            time.sleep(WORD_SECONDS)
        self.wfile.write(b"data: [DONE]\n\n")

    def _head(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Model:
    """Speaks while its `with` block lasts, at `base_url`."""

    def __enter__(self) -> "Model":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=partial(self._server.serve_forever, poll_interval=0.1), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

"""A model provider for benchmarks that answers at a model's pace: 50 ms to the first token, then 50 tokens a second.

    python -m benchmarks.paced_model PORT

Plain asyncio, so that it costs little beside what is measured. It streams whatever it is asked: `TOKENS` words.
"""

import asyncio
import json
import sys

FIRST_SECONDS = 0.05
TOKENS = 64
TOKENS_PER_SECOND = 50
SECONDS = FIRST_SECONDS + (TOKENS - 1) / TOKENS_PER_SECOND  # of an answer

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST = b"data: [DONE]\n\n"


def event(delta: dict[str, str], **fields: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None} | fields
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "paced", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


WORDS = [event({"role": "assistant", "content": ""}) + event({"content": "w0"})]
WORDS += [event({"content": f" w{number}"}) for number in range(1, TOKENS)]
USAGE = json.dumps({"prompt_tokens": 16, "completion_tokens": TOKENS, "total_tokens": 16 + TOKENS})
END = event({}, finish_reason="stop")
END += b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"paced","choices":[],"usage":'
END += USAGE.encode() + b"}\n\n" + _LAST


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            due = clock() + FIRST_SECONDS
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            await reader.readexactly(length)
            writer.write(_HEAD)
            for word in WORDS:
                await asyncio.sleep(max(0.0, due - clock()))
                writer.write(chunk(word))
                due += 1 / TOKENS_PER_SECOND
            writer.write(chunk(END) + chunk(b""))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", port, backlog=1_024) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

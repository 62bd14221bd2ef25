"""Assistants, with their files and vector stores, and threads by their ids: from one server of this API to another.

From Azure, Open Assistant API or another Holdfast, while it still answers:

    SOURCE_BASE_URL=… SOURCE_API_KEY=… python examples/move.py [thread ids …]

Ids are new at the other end: what is printed says which became which. Runs and their steps stay behind, and so do
actions. Files that the source does not hand out (Azure does not, for the purpose `assistants`) are taken from
FILES_FOLDER, by their names.
"""

import os
import sys
from pathlib import Path
from typing import Any

from openai import APIStatusError, NotFoundError, OpenAI

FOLDER = Path(os.environ.get("FILES_FOLDER", "."))
ASSISTANT = ("name", "description", "instructions", "metadata", "temperature", "top_p", "response_format")
MESSAGE = ("role", "metadata")

source = OpenAI(base_url=os.environ["SOURCE_BASE_URL"], api_key=os.environ["SOURCE_API_KEY"])
target = OpenAI()
moved: dict[str, str] = {}
left: set[str] = set()


def told(old: str, new: str) -> str:
    print(old, "->", new)
    moved[old] = new
    return new


def leave(old: str, why: str) -> None:
    if old not in left:
        print(f"{old} stays behind: {why}")
        left.add(old)


def given(thing: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in fields if (value := thing.to_dict().get(name)) is not None}


def file(old: str) -> str | None:
    if old in moved or old in left:
        return moved.get(old)
    try:
        name = source.files.retrieve(old).filename
    except NotFoundError:
        leave(old, "the source has it no more")
        return None
    try:
        content = source.files.content(old).read()
    except APIStatusError:
        if not (FOLDER / name).is_file():
            leave(old, f"the source does not hand it out, and there is no {name} in FILES_FOLDER")
            return None
        content = (FOLDER / name).read_bytes()
    return told(old, target.files.create(file=(name, content), purpose="assistants").id)


def files(old: list[str] | None) -> list[str]:
    return [new for each in old or [] if (new := file(each))]


def store(old: str) -> str | None:
    if old in moved or old in left:
        return moved.get(old)
    try:
        name = source.vector_stores.retrieve(old).name
    except NotFoundError:
        leave(old, "the source has it no more")
        return None
    new = told(old, target.vector_stores.create(name=name).id)
    for entry in source.vector_stores.files.list(old):
        if copy := file(entry.id):
            target.vector_stores.files.create_and_poll(copy, vector_store_id=new, attributes=entry.attributes or {})
    return new


def resources(thing: Any) -> Any:
    """What the tools of an assistant or a thread may use, with the ids of the target."""
    found: dict[str, Any] = thing.to_dict().get("tool_resources") or {}
    stores = (found.get("file_search") or {}).get("vector_store_ids")
    return {
        "code_interpreter": {"file_ids": files((found.get("code_interpreter") or {}).get("file_ids"))},
        "file_search": {"vector_store_ids": [new for each in stores or [] if (new := store(each))]},
    }


def assistant(old: Any) -> None:
    body = given(old, ASSISTANT)
    body["tools"] = [tool for tool in old.to_dict().get("tools") or [] if tool["type"] != "action"]
    body["tool_resources"] = resources(old)
    if v1 := files(old.to_dict().get("file_ids")):  # as the API's first version, and Open Assistant API, have them
        new = told(f"files of {old.id}", target.vector_stores.create(name=old.name or old.id, file_ids=v1).id)
        body["tool_resources"]["file_search"] = {"vector_store_ids": [new]}
    told(old.id, target.beta.assistants.create(model=old.model, **body).id)


def content(block: dict[str, Any]) -> dict[str, Any] | None:
    """A block of a message, as it is sent."""
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]["value"]}
    if block["type"] == "image_file":
        new = file(block["image_file"]["file_id"])
        return {"type": "image_file", "image_file": {**block["image_file"], "file_id": new}} if new else None
    return block


def thread(old: str) -> None:
    found = source.beta.threads.retrieve(old)
    new = target.beta.threads.create(tool_resources=resources(found), **given(found, ("metadata",)))
    for message in source.beta.threads.messages.list(old, order="asc"):
        sent: Any = message.to_dict()
        blocks: list[Any] = [block for each in sent["content"] or [] if (block := content(each))]
        if blocks:
            target.beta.threads.messages.create(new.id, content=blocks, **given(message, MESSAGE))
    told(old, new.id)


for found in source.beta.assistants.list(order="asc", limit=100):
    assistant(found)
for thread_id in sys.argv[1:]:
    thread(thread_id)

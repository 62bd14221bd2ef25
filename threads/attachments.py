"""Files that messages bring along: they must be there, and go to the tools that are to use them."""

from pathlib import PurePath
from typing import Any

from assistant_site.wire.errors import InvalidRequest
from files.actions import check_files
from files.models import File
from tenants.models import Tenant
from threads import images
from threads.models import Thread
from threads.serializers import IMAGE_EXTENSIONS
from vector_stores import resources
from vector_stores.actions import Entry, add_files, create_store
from vector_stores.models import VectorStore

MAX_CODE_FILES = 20


def take_in(tenant: Tenant, thread: Thread, messages: list[dict[str, Any]]) -> bool:
    """Gives the messages' files to the thread's tools; whether its resources (not saved here) have changed by that.

    The documented 404 for a file that is not there. The caller holds the thread: its store is locked after it.
    """
    attached = [attachment for message in messages for attachment in message["attachments"]]
    files = check_files(tenant, [each["file_id"] for each in attached] + images.image_files_of(messages))
    images.check_images(messages, files)
    before = thread.tool_resources
    _give_to_code(thread, [each["file_id"] for each in attached if _is_for(each, "code_interpreter")])
    searched = [each["file_id"] for each in attached if _is_searched(each, files)]
    if searched:
        _give_to_search(tenant, thread, list(dict.fromkeys(searched)))
    has_changed: bool = thread.tool_resources != before
    return has_changed


def _is_for(attachment: dict[str, Any], tool: str) -> bool:
    return any(each["type"] == tool for each in attachment["tools"])


def _is_searched(attachment: dict[str, Any], files: dict[str, File]) -> bool:
    """Also one without tools, as Open Assistant API has them, unless it is an image: that is looked at."""
    if attachment["tools"]:
        return _is_for(attachment, "file_search")
    filename: str = files[attachment["file_id"]].filename
    return PurePath(filename).suffix.lower() not in IMAGE_EXTENSIONS


def _give_to_code(thread: Thread, wanted: list[str]) -> None:
    if not wanted:
        return
    files = list(dict.fromkeys([*resources.code_files_of(thread.tool_resources), *wanted]))
    if len(files) > MAX_CODE_FILES:
        raise InvalidRequest(
            f"A thread can have at most {MAX_CODE_FILES} files for the code_interpreter tool, but this would be "
            f"{len(files)}.",
            code="array_above_max_length",
            param="attachments",
        )
    thread.tool_resources = thread.tool_resources | {"code_interpreter": {"file_ids": files}}


def _give_to_search(tenant: Tenant, thread: Thread, wanted: list[str]) -> None:
    """Into the thread's store; into a new one if it has none, or none any more."""
    store = VectorStore.objects.of(tenant).filter(pk__in=resources.store_ids_of(thread.tool_resources)).first()
    if store is not None:
        add_files(store=store, entries=[Entry(file_id) for file_id in wanted])
        return
    made = create_store(tenant=tenant, file_ids=wanted, expires_after_days=resources.THREAD_STORE_DAYS)
    thread.tool_resources = thread.tool_resources | {"file_search": {"vector_store_ids": [made.pk]}}

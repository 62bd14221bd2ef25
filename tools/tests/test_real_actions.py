"""Real documents become actions over HTTP, and their calls arrive as the documents have them."""

import gzip
import json
import threading
import time
from typing import Any

import pytest

from assistant_site.tests.callers import LiveCaller
from tools.openapi_actions.models import Action
from tools.tests.openapi.test_real_documents import FOLDER
from tools.tests.service import Got, Service, replying
from tools.tests.weather import made, run_of

pytestmark = pytest.mark.slow


def run(lena: LiveCaller, action: dict[str, Any], parameters: dict[str, Any]) -> Any:
    answer = lena.post(f"actions/{action['id']}/run", {"parameters": parameters})
    assert answer.status == 200, answer.body
    return answer["data"]


def line(got: Got) -> str:
    return f"{got.method} {got.target}" + (f" {got.body.decode()}" if got.body else "")


def test_the_petstore(lena: LiveCaller) -> None:
    with Service(lambda got: replying({"ok": True})) as service:
        text = (FOLDER / "petstore-2.0.json").read_text()
        document = json.loads(text) | {"host": service.url.removeprefix("http://"), "schemes": ["http"]}
        pets = made(lena, document)
        pet = {"id": 1, "name": "Rex", "photoUrls": ["a"], "tags": [{"id": 2, "name": "big"}], "status": "sold"}
        run(lena, pets["addPet"], pet)
        run(lena, pets["findPetsByStatus"], {"status": ["sold", "pending"]})
        run(lena, pets["updatePetWithForm"], {"petId": 7, "name": "Rex & co", "status": "sold"})
        run(lena, pets["deletePet"], {"petId": 7, "api_key": "k"})
        run_of(lena, pets["getPetById"], {"petId": 7})
    assert [line(got) for got in service.got] == [
        "POST /v2/pet " + json.dumps(pet, separators=(",", ":")),
        "GET /v2/pet/findByStatus?status=sold&status=pending",
        "POST /v2/pet/7 name=Rex%20%26%20co&status=sold",
        "DELETE /v2/pet/7",
        "GET /v2/pet/7",
    ]
    assert service.got[2].headers["content-type"] == "application/x-www-form-urlencoded"
    assert service.got[3].headers["api_key"] == "k"


def test_holdfasts_own_calls_itself(lena: LiveCaller) -> None:
    address = lena.url.replace("127.0.0.1", "localhost")
    authentication = {"type": "bearer", "secret": lena.token}
    own = made(lena, f"{address}/openapi.json", authentication=authentication)
    assert {"createAssistant", "createRun", "createActions"} <= set(own)
    assistant = run(lena, own["createAssistant"], {"model": "demo", "name": "Made by an action"})
    assert lena.get(f"assistants/{assistant['id']}")["name"] == "Made by an action"
    folded, told = run_of(lena, own["getAssistant"], {"assistant_id": assistant["id"]})
    assert json.loads(told)["id"] == assistant["id"]
    assert lena.token not in json.dumps(lena.steps(folded.run["thread_id"], folded.run["id"]))


def test_githubs_is_read_while_others_are_answered(lena: LiveCaller) -> None:
    document = json.loads(gzip.decompress((FOLDER / "github.json.gz").read_bytes()))
    waits: list[float] = []
    done = threading.Event()

    def others() -> None:
        caller = LiveCaller(lena.tenant, lena.token, lena.url)
        while not done.wait(0.05):
            begun = time.monotonic()
            caller.get("assistants")
            waits.append(time.monotonic() - begun)

    with Service(lambda got: replying({"number": 1})) as service:
        document["servers"] = [{"url": service.url}]
        beside = threading.Thread(target=others)
        beside.start()
        try:
            actions = made(lena, document)
        finally:
            done.set()
            beside.join()
        assert len(actions) == Action.objects.of(lena.tenant).count() == 1_223
        assert len(waits) > 20
        where = {"owner": "hol/d", "repo": "fast"}
        run(lena, actions["issues_create"], {**where, "title": "A bug", "labels": ["one", "two"]})
        run(lena, actions["issues_list_for_repo"], {**where, "labels": "bug,ui", "page": 2, "per_page": 5})
        run(lena, actions["git_get_ref"], {**where, "ref": "heads/main"})
        run(lena, actions["repos_replace_all_topics"], {**where, "names": ["a"]})
    assert [line(got) for got in service.got] == [
        'POST /repos/hol%2Fd/fast/issues {"title":"A bug","labels":["one","two"]}',
        "GET /repos/hol%2Fd/fast/issues?labels=bug%2Cui&per_page=5&page=2",
        "GET /repos/hol%2Fd/fast/git/ref/heads%2Fmain",
        'PUT /repos/hol%2Fd/fast/topics {"names":["a"]}',
    ]

"""End users: named with threads and runs, known from then on, limited and blocked by their tenant."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assistant_site.tests.callers import LocalCaller
from runs.models import Run
from tenants import end_users
from tenants.auth import forget_tokens
from tenants.models import ApiToken, EndUser
from threads.models import Thread

HEADER = end_users.HEADER


@pytest.fixture(autouse=True)
def known_to_nobody() -> None:
    end_users._kept.clear()


def administer(caller: LocalCaller) -> None:
    ApiToken.objects.filter(tenant=caller.tenant).update(scopes=["admin"])
    forget_tokens()


def test_a_run_is_for_whom_it_names_or_for_whom_its_thread_is(alice: LocalCaller) -> None:
    assistant = alice.assistant()
    token = ApiToken.objects.get(tenant=alice.tenant).pk

    def run(thread: str, body: dict[str, Any], **headers: str) -> Any:
        made = alice.call("POST", f"/v1/threads/{thread}/runs", {"assistant_id": assistant, **body}, **headers)
        row = Run.objects.of(alice.tenant).get(pk=made["id"])
        assert row.token_id == token
        assert made.body.get("user", "") == row.end_user
        assert ("user" in made.body) == bool(row.end_user)
        alice.post(f"threads/{thread}/runs/{row.pk}/cancel")
        return row.end_user

    plain = alice.thread("hello")
    assert "user" not in alice.get(f"threads/{plain}").body
    carols = alice.post("threads", {"user": "carol", "messages": [{"role": "user", "content": "x"}]})
    assert carols["user"] == "carol"
    assert run(plain, {}) == ""
    assert run(plain, {"user": "dave"}) == "dave"
    assert run(plain, {}, **{HEADER: "erin"}) == "erin"
    assert run(plain, {"user": "dave"}, **{HEADER: "erin"}) == "dave"
    assert run(carols["id"], {}) == "carol"
    assert run(carols["id"], {"user": "dave"}) == "dave"
    assert run(plain, {"user": "名前/ü"}) == "名前/ü"
    named = "Zoë".encode().decode("latin-1")  # as a server reads UTF-8 in a header
    assert end_users.as_text(named) == "Zoë"

    message = {"messages": [{"role": "user", "content": "x"}]}
    for body, run_for, thread_for in (
        ({"thread": message}, "", ""),
        ({"thread": message, "user": "carol"}, "carol", "carol"),
        ({"thread": {**message, "user": "dave"}}, "dave", "dave"),
        ({"thread": {**message, "user": "dave"}, "user": "carol"}, "carol", "dave"),
    ):
        made = alice.post("threads/runs", {"assistant_id": assistant, **body})
        assert made.body.get("user", "") == run_for
        assert Thread.objects.of(alice.tenant).get(pk=made["thread_id"]).end_user == thread_for
        assert Run.objects.of(alice.tenant).get(pk=made["id"]).token_id == token

    names = EndUser.objects.of(alice.tenant).values_list("name", flat=True)
    assert sorted(names) == ["carol", "dave", "erin", "名前/ü"]


def test_what_was_made_for_one(alice: LocalCaller, bob: LocalCaller) -> None:
    administer(alice)
    assistant = alice.assistant()
    thread = alice.post("threads", {"user": "carol"})["id"]
    alice.thread()
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": assistant})
    other = alice.post("threads/runs", {"assistant_id": assistant})["id"]
    bob.post("threads", {"user": "carol"})

    def ids(path: str) -> list[str]:
        return [each["id"] for each in alice.get(path)["data"]]

    assert ids("threads?user=carol") == [thread]
    assert ids("runs") == [other, run["id"]]
    assert ids("runs?user=carol") == ids("runs?user=carol&status=queued") == [run["id"]]
    assert ids("runs?status=completed") == ids("runs?user=nobody") == []
    assert alice.get("runs?status=busy").error["param"] == "status"
    [listed] = alice.get("end_users")["data"]
    assert (listed["object"], listed["name"], listed["blocked"]) == ("end_user", "carol", False)
    assert alice.get("end_users/carol").body == listed | {
        "threads": 1,
        "runs": 1,
        "last_seen_at": run["created_at"],
    }
    assert alice.get("end_users/dave").status == 404
    limits = {"requests_per_minute": 5}
    changed = alice.post("end_users/dave", {"limits": limits})
    assert changed["limits"] == {"requests_per_minute": 5, "tokens_per_minute": None}
    assert (changed["threads"], changed["runs"], changed["last_seen_at"]) == (0, 0, None)
    assert alice.get("end_users/dave").body == changed.body
    assert alice.post(f"end_users/{'x' * 129}", {}).error["code"] == "string_above_max_length"
    for wrong in ("", "x" * 129, "a\x00b"):
        assert alice.post("threads", {"user": wrong}).error["param"] == "user"
    assert alice.call("POST", "/v1/threads", {}, **{HEADER: "x" * 129}).error["param"] == HEADER


def test_nothing_new_is_made_for_a_blocked_one(alice: LocalCaller) -> None:
    administer(alice)
    assistant = alice.assistant()
    thread = alice.post("threads", {"user": "carol", "messages": [{"role": "user", "content": "x"}]})["id"]
    other = alice.thread("hello")
    assert alice.post("end_users/carol", {"blocked": True})["blocked"]
    run = {"assistant_id": assistant}
    for path, body in (
        ("threads", {"user": "carol"}),
        (f"threads/{thread}/runs", run),
        (f"threads/{thread}/runs", {**run, "user": "dave"}),
        (f"threads/{thread}/messages", {"role": "user", "content": "x"}),
        (f"threads/{other}/runs", {**run, "user": "carol"}),
        ("threads/runs", {**run, "user": "carol"}),
        ("threads/runs", {**run, "thread": {"user": "carol"}}),
    ):
        end_users._kept.clear()
        refused = alice.post(path, body)
        assert (refused.status, refused.error["code"]) == (403, "end_user_blocked"), (path, body)
    assert alice.get(f"threads/{thread}").status == 200
    assert alice.post(f"threads/{other}/messages", {"role": "user", "content": "x"}).status == 200
    alice.post("end_users/carol", {"blocked": False})
    end_users._kept.clear()
    assert alice.post(f"threads/{thread}/runs", run).status == 200


def test_nobody_named_costs_no_query(alice: LocalCaller) -> None:
    assistant, thread = alice.assistant(), alice.thread("hello")
    with CaptureQueriesContext(connection) as caught:
        alice.post(f"threads/{alice.thread()}/messages", {"role": "user", "content": "x"})
        alice.post(f"threads/{thread}/runs", {"assistant_id": assistant})
    assert not [query["sql"] for query in caught if 'FROM "tenants_enduser"' in query["sql"].split("EXISTS")[0]]

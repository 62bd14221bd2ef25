"""The law of tenancy: every route and verb answers a stranger's token exactly as it answers an unknown id, and lets
nobody in whose token is not valid, or not for this.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller, new_tenant
from assistant_site.wire.errors import PermissionDenied
from assistant_site.wire.rest import ID_WORDS, WireView
from runs.models import Run, RunStep
from tenants import actions, scopes, tokens
from tenants.auth import forget_tokens
from tenants.models import ApiToken, EndUser, Tenant, UnscopedQuery
from threads.models import Message

# A valid body for each route that takes one, so that nothing but ownership can refuse it.
BODIES: dict[str, dict[str, Any]] = {
    "assistants/<str:assistant_id>/mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
    "threads/<str:thread_id>/messages": {"role": "user", "content": "x"},
    "threads/<str:thread_id>/runs": {"assistant_id": "{own_assistant}"},
    "threads/<str:thread_id>/runs/<str:run_id>/submit_tool_outputs": {"tool_outputs": []},
    "uploads/<str:upload_id>/complete": {"part_ids": ["part_x"]},
    "vector_stores/<str:vector_store_id>/search": {"query": "x"},
    "vector_stores/<str:vector_store_id>/files": {"file_id": "file-x"},
    "vector_stores/<str:vector_store_id>/files/<str:file_id>": {"attributes": {}},
    "vector_stores/<str:vector_store_id>/file_batches": {"file_ids": ["file-x"]},
    "budgets/<str:budget_id>": {"amount": 2},
}
PING = {
    "openapi": "3.0.3",
    "info": {"title": "Ping", "version": "1"},
    "servers": [{"url": "https://ping.example"}],
    "paths": {"/ping": {"get": {"summary": "Pings.", "responses": {"200": {"description": "Pong."}}}}},
}
FORMS = {"uploads/<str:upload_id>/parts": "data"}  # with a file in this field
# Routes without anybody's object in their path.
FREE = {
    "assistants",
    "threads",
    "threads/runs",
    "models",
    "models/<path:model>",
    "chat/completions",
    "embeddings",
    "limits",
    "files",
    "uploads",
    "vector_stores",
    "actions",
    "audit_log",
    "mcp",
    "runs",
    "tokens",
    "end_users",
    "end_users/<path:name>",
    "budgets",
    "usage",
    "prices",  # the operator's alone
    "prices/<str:price_id>",
}
VERBS = ("GET", "POST", "DELETE")


def routed_views() -> Iterator[tuple[str, Any]]:
    """Every API route of the URL conf under /v1, with its view."""

    def walk(patterns: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for entry in patterns:
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, prefix + str(entry.pattern))
            elif isinstance(entry, URLPattern):
                yield prefix + str(entry.pattern), entry.callback

    for path, view in walk(get_resolver().url_patterns, ""):
        if path.startswith("v1/") and hasattr(view, "view_class"):
            yield path.removeprefix("v1/"), view.view_class


def verbs_of(view: type[WireView]) -> tuple[str, ...]:
    return tuple(verb for verb in VERBS if hasattr(view, verb.lower()))


def routes() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every API route of the URL conf under /v1, with its verbs."""
    return ((route, verbs_of(view)) for route, view in routed_views())


def test_the_walk_finds_the_routes() -> None:
    found = dict(routes())
    assert len(found) >= 17
    assert found["threads/<str:thread_id>/runs/<str:run_id>"] == ("GET", "POST")


def things_of(caller: LocalCaller) -> dict[str, str]:
    """One object of each kind, ids by the names that the URL conf gives them."""
    thread = caller.thread("hello")
    assistant = caller.assistant()
    run = caller.post(f"threads/{thread}/runs", {"assistant_id": assistant, "user": "carol"})["id"]
    row = Run.objects.of(caller.tenant).get(pk=run)
    step = RunStep.objects.create(
        tenant=caller.tenant,
        run=row,
        thread_id=thread,
        assistant_id=assistant,
        type="tool_calls",
        step_details={"type": "tool_calls", "tool_calls": []},
        run_expires_at=row.expires_at,
    )
    message = Message.objects.of(caller.tenant).get(thread_id=thread).pk
    file = caller.upload("a.txt", b"a")
    store = caller.store(file_ids=[file])
    upload = {"filename": "a", "purpose": "assistants", "bytes": 1, "mime_type": "text/plain"}
    return {
        "thread_id": thread,
        "assistant_id": assistant,
        "run_id": run,
        "step_id": step.pk,
        "message_id": message,
        "file_id": file,
        "vector_store_id": store,
        "batch_id": caller.post(f"vector_stores/{store}/file_batches", {"file_ids": [file]})["id"],
        "upload_id": caller.post("uploads", upload)["id"],
        "budget_id": caller.post("budgets", {"amount": 10**9})["id"],
        "action_id": caller.post("actions", {"openapi_schema": PING}).body[0]["id"],
        "token": ApiToken.objects.get(tenant=caller.tenant).pk,
        "name": EndUser.objects.create(tenant=caller.tenant, name="somebody's customer").name,
    }


def views() -> Iterator[tuple[str, str, type[WireView]]]:
    """Every API route of the URL conf with each of its verbs, and its view."""
    return ((route, verb, view) for route, view in routed_views() for verb in verbs_of(view))


def of_things(route: str, things: dict[str, str]) -> str:
    path = route
    for name, id in things.items():
        for kind in ("str", "path"):
            path = path.replace(f"<{kind}:{name}>", id)
    assert "<" not in path, f"add {path} to things_of"
    return path


def test_a_stranger_is_answered_as_if_nothing_were_there(alice: LocalCaller, bob: LocalCaller) -> None:
    """One set of things for all routes: nothing that a stranger does changes them."""
    things = things_of(alice)
    unknown = {name: id[:-4] + "none" for name, id in things.items()}
    own_assistant = bob.assistant()
    ApiToken.objects.filter(tenant=bob.tenant).update(scopes=["admin"])
    forget_tokens()
    before = rows_of(alice.tenant)

    for route, verb, view in views():
        if route in FREE or view.audience == "operator":
            continue
        given = BODIES.get(route, {}).items()
        body = {key: own_assistant if value == "{own_assistant}" else value for key, value in given}
        as_stranger, as_nobody = (
            bob.post_form(where, FORMS[route], "a.txt", b"a")
            if route in FORMS
            else bob.call(verb, f"/v1/{where}", body if verb == "POST" else None)
            for where in (of_things(route, things), of_things(route, unknown))
        )

        assert as_stranger.status == as_nobody.status == 404, (route, verb, as_stranger.body, as_nobody.body)
        told, blank = as_stranger.error["message"], as_nobody.error["message"]
        for id in things.values():
            told, blank = told.replace(id, "X"), blank.replace(id[:-4] + "none", "X")
        assert told == blank
    assert rows_of(alice.tenant) == before


def rows_of(tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    """Everything that the tenant has, as it is stored; but not when its tokens were used."""
    ApiToken.objects.filter(tenant=tenant).update(last_used_at=None)
    owned = [model for model in apps.get_models() if any(field.name == "tenant" for field in model._meta.fields)]
    models: list[Any] = [Tenant, *owned]
    return {
        model.__name__: list(
            model._base_manager.filter(**{"pk" if model is Tenant else "tenant": tenant.pk}).order_by("pk").values()
        )
        for model in models
    }


# --- Who may not even come in ----------------------------------------------------------------------------------------


def place(route: str) -> str:
    """An address of this route that leads to nothing."""
    return "/v1/" + re.sub(r"<\w+:(\w+)>", lambda found: ID_WORDS.get(found[1], "") + "_none", route)


def test_every_view_says_of_what_resource_it_is() -> None:
    for route, _, view in views():
        assert view.audience == "operator" or view.resource in scopes.RESOURCES, route
        for verb in verbs_of(view):
            assert view.audience == "operator" or set(view.scopes_for(verb)) <= set(scopes.SCOPES), route


def test_who_may_not_come_in(alice: LocalCaller, client: Client, settings: Any) -> None:
    settings.ADMIN_TOKEN = "an admin token for tests"
    closed = new_tenant("Closed")

    def token(**more: Any) -> str:
        return actions.issue_token(tenant=alice.tenant, name="test", **({"scopes": ["admin"]} | more))[1]

    revoked, rotated = token(), token()
    actions.revoke_token(ApiToken.objects.get(digest=tokens.digest(revoked)))
    actions.rotate_token(ApiToken.objects.get(digest=tokens.digest(rotated)))
    actions.suspend_tenant(closed[0])
    ApiToken.objects.filter(tenant=closed[0]).update(scopes=["admin"])
    wrong: dict[str, tuple[int, str | None]] = {
        "": (401, None),
        "Basic abc": (401, None),
        "Bearer sk-something-else": (401, "invalid_api_key"),
        f"Bearer {tokens.new_value()}": (401, "invalid_api_key"),
        f"Bearer {revoked}": (401, "invalid_api_key"),
        f"Bearer {rotated}": (401, "invalid_api_key"),
        f"Bearer {token(expires_at=timezone.now())}": (401, "invalid_api_key"),
        f"Bearer {token(allowed_networks=['10.0.0.0/8', '2001:db8::/32'])}": (401, "ip_not_authorized"),
        f"Bearer {closed[1]}": (403, "account_suspended"),
    }
    scopeless = token(scopes=[])
    any_of_alice = token()
    before = rows_of(alice.tenant)

    for route, verb, view in views():
        told = dict(wrong)
        if view.audience == "operator":
            told |= {f"Bearer {any_of_alice}": (403, None)}
        else:
            told |= {f"Bearer {scopeless}": (403, "missing_scope")}
        if view.audience == "tenant":
            told |= {f"Bearer {settings.ADMIN_TOKEN}": (401, "invalid_api_key")}
        for number, (authorization, (status, code)) in enumerate(told.items()):
            sent = {"Authorization": authorization, **({"Idempotency-Key": "a-key"} if number % 2 else {})}
            refused = client.generic(verb, place(route), headers=sent)
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), (route, verb, sent)
    assert rows_of(alice.tenant) == before


def test_a_scope_opens_what_it_names_and_nothing_else() -> None:
    """That every view asks is shown above."""

    def may(given: list[str]) -> bool:
        try:
            view.check_caller(ApiToken(tenant=Tenant(), scopes=given), verb)
        except PermissionDenied as refused:
            return re.search(r"Missing scopes: [a-z_.]+(, [a-z_.]+)*\.", refused.message) is None
        return True

    for route, verb, view in views():
        if view.audience == "operator":
            continue
        needed = view.scopes_for(verb)
        others = [each for each in scopes.SCOPES if "." in each and not scopes.granted((each,)) & set(needed)]
        assert may(["admin"]), (route, verb)
        assert may([*needed]), (route, verb)
        assert not may(others), (route, verb)
        assert not may(["no such scope"]), (route, verb)
        ordinary = all(scopes.RESOURCES[scope.partition(".")[0]][0] == "read" for scope in needed)
        assert may(["read"]) == (ordinary and all(scope.endswith(".read") for scope in needed)), (route, verb)


def test_the_playgrounds_addresses_are_closed_to_who_has_no_right(alice: LocalCaller, client: Client) -> None:
    """Each with its method and what an anonymous request for it is answered; new ones need their line here."""
    asked = {
        "playground": ("GET", 302),
        "playground/": ("GET", 302),
        "playground/assets/<str:digest>/<path:name>": ("GET", 404),
        "playground/enter": ("POST", 403),
        "playground/leave": ("POST", 401),
        "playground/tenants": ("GET", 401),
        "playground/tenants/<str:tenant_id>/enter": ("POST", 401),
    }
    patterns = [str(entry.pattern) for entry in get_resolver().url_patterns if "playground" in str(entry.pattern)]
    assert patterns == [*asked]
    before = rows_of(alice.tenant)
    for route, (method, status) in asked.items():
        path = route.replace("<str:tenant_id>", alice.tenant.pk).replace("<str:digest>/<path:name>", "x/y")
        body = b'{"key": ""}' if method == "POST" else b""
        assert client.generic(method, f"/{path}", body, "application/json").status_code == status, route
        if method == "POST" and not path.endswith("leave"):  # an API token opens none of the doors to other tenants
            sent = {"Authorization": f"Bearer {alice.token}"}
            refused = client.generic(method, f"/{path}", body, "application/json", headers=sent)
            assert refused.status_code == status, route
    assert rows_of(alice.tenant) == before


def test_the_admins_pages_are_for_staff_with_the_right(client: Client, django_user_model: Any) -> None:
    pages = [reverse(f"admin:{name}") for name in admin_pages()]
    assert len(pages) > 10
    for page in pages:
        assert login_for(client.get(page)), page
    client.force_login(django_user_model.objects.create_user("visitor", password="a long password"))
    for page in pages:
        assert login_for(client.get(page)), page
    client.force_login(django_user_model.objects.create_user("clerk", password="a long password", is_staff=True))
    for page in pages:
        assert client.get(page).status_code == 403, page


def admin_pages() -> Iterator[str]:
    """The names of the list and of the form of every model in the admin."""
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        yield from (f"{name}_changelist", f"{name}_add")


def login_for(answer: Any) -> bool:
    return bool(answer.status_code == 302 and answer.headers["Location"].startswith("/admin/login/"))


# --- Lists, and things that are named in bodies ----------------------------------------------------------------------


def test_lists_show_nothing_of_others(alice: LocalCaller, bob: LocalCaller) -> None:
    things_of(alice)
    assert bob.get("assistants")["data"] == []
    assert bob.get("threads")["data"] == []
    assert bob.get("files")["data"] == []
    assert bob.get("vector_stores")["data"] == []
    assert bob.get("runs")["data"] == []
    assert bob.get("threads?user=carol")["data"] == bob.get("runs?user=carol")["data"] == []
    ApiToken.objects.filter(tenant=bob.tenant).update(scopes=["admin"])
    forget_tokens()
    assert bob.get("end_users")["data"] == []
    assert bob.get("end_users/carol").status == 404
    assert [token["tenant"] for token in bob.get("tokens")["data"]] == [bob.tenant.pk]


def test_nobody_uses_anothers_files_and_stores(alice: LocalCaller, bob: LocalCaller) -> None:
    things = things_of(alice)
    file, store = things["file_id"], things["vector_store_id"]
    own = bob.store()
    for path, body in (
        ("vector_stores", {"file_ids": [file]}),
        (f"vector_stores/{own}/files", {"file_id": file}),
        (f"vector_stores/{own}/file_batches", {"file_ids": [file]}),
        ("threads", {"tool_resources": {"code_interpreter": {"file_ids": [file]}}}),
        ("assistants", {"model": "demo", "tool_resources": {"file_search": {"vector_store_ids": [store]}}}),
    ):
        refused = bob.post(path, body)
        assert refused.status == 404
        assert refused.error["message"] in (
            f"No file found with id '{file}'.",
            f"No vector store found with id '{store}'.",
        )


def test_nobody_runs_anothers_assistant(alice: LocalCaller, bob: LocalCaller) -> None:
    assistant, thread = alice.assistant(), bob.thread("hi")
    for path in (f"threads/{thread}/runs", "threads/runs"):
        refused = bob.post(path, {"assistant_id": assistant})
        assert refused.status == 404
        assert refused.error["message"] == f"No assistant found with id '{assistant}'."


def test_reading_without_a_tenant_is_an_exception() -> None:
    for query in (Message.objects.all, Message.objects.count, lambda: Run.objects.filter(pk="x")):
        with pytest.raises(UnscopedQuery):
            query()

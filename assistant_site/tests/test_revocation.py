"""What is said of a token counts within a second, in every process and for open sockets."""

import time
from collections.abc import Callable

import pytest
import requests

from assistant_site import environment
from assistant_site.tests.callers import PATIENCE_SECONDS, LiveCaller, new_tenant
from assistant_site.tests.stack import Stack
from runs import consumers
from runs.tests.test_sockets import closing_code, page_of
from tenants import actions, auth
from tenants.models import ApiToken

MEGABYTE = 1024 * 1024


@pytest.mark.slow
def test_within_a_second_everywhere(live: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two web processes, both of which have just used the tokens, and a page that listens."""
    with Stack(folder=tmp_path_factory.mktemp("webs"), webs=2, workers=0, ingestions=0) as webs:
        for end in (
            lambda token: actions.revoke_token(token),
            lambda token: actions.rotate_token(token),
            lambda token: actions.suspend_tenant(token.tenant),
            lambda token: actions.change_token(token, {"allowed_networks": ["192.0.2.0/24"]}),
            lambda token: actions.change_token(token, {"scopes": ["files.read"]}),
        ):
            is_seen(webs, end)
    assert auth.KEPT_SECONDS + consumers.TOKEN_CHECK_SECONDS < 1


def is_seen(webs: Stack, end: Callable[[ApiToken], object]) -> None:
    tenant, value = new_tenant("Lena")
    callers = [LiveCaller(tenant, value, url) for url in webs.urls]
    thread = callers[0].thread("Hello")
    with page_of(callers[1], f"threads/{thread}/ws") as page:
        assert page.hear() == {"type": "authenticated"}
        assert [caller.get("threads").status for caller in callers] == [200, 200]
        end(ApiToken.objects.get(tenant=tenant))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(caller.get("threads").status == 200 for caller in callers):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert closing_code(page) in (consumers.NOT_AUTHENTICATED, consumers.SUSPENDED)


def test_a_socket_speaks_from_where_its_page_is(lena: LiveCaller) -> None:
    thread, assistant = lena.thread("Hello"), lena.assistant()
    ApiToken.objects.filter(tenant=lena.tenant).update(allowed_networks=["127.0.0.1/32"])
    time.sleep(0.6)  # a token's row is kept for half a second
    with page_of(lena, f"threads/{thread}/ws") as page:
        page.say(type="create_run", id="1", body={"assistant_id": assistant, "user": "carol"})
        assert page.answer_to("1")["body"]["user"] == "carol"
        page.until(event="done")
    ApiToken.objects.filter(tenant=lena.tenant).update(allowed_networks=["192.0.2.0/24"])
    time.sleep(0.6)
    with page_of(lena, f"threads/{thread}/ws") as page:
        assert closing_code(page) == consumers.NOT_AUTHENTICATED


def test_a_sockets_messages_need_their_scopes(lena: LiveCaller) -> None:
    thread, assistant = lena.thread("Hello"), lena.assistant()
    ApiToken.objects.filter(tenant=lena.tenant).update(scopes=["threads.read"])
    time.sleep(0.6)
    with page_of(lena, f"threads/{thread}/ws") as page:
        page.say(type="create_run", id="1", body={"assistant_id": assistant})
        refused = page.answer_to("1")
        assert (refused["status"], refused["body"]["error"]["code"]) == (403, "missing_scope")
        page.say(type="follow", id="2", run_id="run_x")  # the socket is still there
        assert page.answer_to("2")["status"] == 403
    with page_of(lena, f"threads/{thread}/runs/run_x/ws") as page:
        assert closing_code(page) == consumers.SUSPENDED


def test_a_large_body_needs_the_scope_before_it_is_kept(lena: LiveCaller) -> None:
    _, reader = actions.issue_token(tenant=lena.tenant, name="reader", scopes=["read"])
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"a" * (40 * MEGABYTE)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Authorization": f"Bearer {reader}"}
    refused = requests.post(f"{lena.base_url}/files", data=form, headers=headers, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")


def test_the_list_of_models_is_what_the_token_may_use(lena: LiveCaller) -> None:
    everything = [model["id"] for model in lena.get("models")["data"]]
    assert {"demo", "demo-instant"} <= set(everything)
    ApiToken.objects.filter(tenant=lena.tenant).update(allowed_models=["demo-*"])
    time.sleep(0.6)
    assert [model["id"] for model in lena.get("models")["data"]] == [m for m in everything if m.startswith("demo-")]
    assert lena.get("models/demo").status == 404
    assert lena.get("models/demo-instant").status == 200
    body = b'{"model": "demo", "model": "demo-instant", "messages": [{"role": "user", "content": "Hi"}]}'
    assert lena.post("chat/completions", body)["model"] == "demo-instant", "the provider is asked for what was judged"


def test_an_admin_token_that_can_be_guessed_stops_the_start() -> None:
    with pytest.raises(SystemExit) as stopped:
        environment.check_secret("admin", "ADMIN_TOKEN", "APP_AUTH_ADMIN_TOKEN", least=16)
    assert "fewer than 16 characters" in str(stopped.value)
    assert "'admin'" not in str(stopped.value)
    environment.check_secret("x" * 16, "ADMIN_TOKEN", least=16)

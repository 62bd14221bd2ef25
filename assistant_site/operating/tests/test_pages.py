"""Every page of the admin, as each role of the staff: what opens, and that nobody is shown what is not for them."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assistant_site.operating.tests.planted import WORD, plant
from assistant_site.operating.tests.staff import member, text_of
from assistant_site.staff import counting
from assistant_site.tests.callers import LocalCaller

SUPPORTED = {
    *("tenants.tenant", "tenants.enduser", "runs.run", "threads.thread", "threads.message", "assistants.assistant"),
    *("files.file", "files.upload", "vector_stores.vectorstore", "vector_stores.storefile"),
    *("metering.usageday", "metering.ledgerentry", "metering.budget"),
}
# Where superusers are shown what was planted. On the lists of the others no content stands.
SHOWN_IN_LISTS = {"threads.thread", "threads.message", "files.file", "files.upload", "tools.codefile"}
SHOWN_IN_PAGES = SHOWN_IN_LISTS | {
    "audit.auditentry",
    *("assistants.assistant", "runs.run", "vector_stores.vectorstore", "vector_stores.storefile"),
    *("tools.codespace", "tools.action"),
}

OTHERS = ("superuser", "operator", "auditor")


def models() -> list[str]:
    return sorted(model._meta.label_lower for model in admin.site._registry)


def path_of(label: str) -> str:
    return f"/admin/{label.replace('.', '/')}/"


def pages_of(label: str, planted: dict[str, Any]) -> list[str]:
    """The addresses of a model's pages that can be asked for."""
    path = path_of(label)
    found = [path, f"{path}?q={WORD.upper()}", f"{path}add/"]
    if label in planted:
        found += [f"{path}{planted[label].pk}/{page}/" for page in ("change", "history", "delete")]
    return found


def sees(role: str, label: str) -> bool:
    if role == "support":
        return label in SUPPORTED
    return role in ("superuser", "auditor") or (role == "operator" and not label.startswith("auth."))


@pytest.mark.parametrize("role", ["support", *(pytest.param(role, marks=pytest.mark.slow) for role in OTHERS)])
def test_every_list_and_page(alice: LocalCaller, role: str) -> None:
    planted = plant(alice)
    assert set(planted) >= set(models()) - {"auth.user", "auth.group", "metering.price"}, "plant a row of each model"
    client = member(role)
    assert WORD not in text_of(client, "/admin/")
    for label in models():
        pages = {path_of(label): SHOWN_IN_LISTS}
        if label in planted:
            pages[f"{path_of(label)}{planted[label].pk}/change/"] = SHOWN_IN_PAGES
        for page, shown_in in pages.items():
            answer = client.get(page)
            assert answer.status_code == (200 if sees(role, label) else 403), (role, page)
            shown = WORD in answer.content.decode()
            assert shown == (role != "support" and sees(role, label) and label in shown_in), (role, page)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["support", "superuser", ""])
def test_who_is_not_shown_content_finds_none_on_any_page(alice: LocalCaller, settings: Any, role: str) -> None:
    """Superusers neither, where ADMIN_SHOWS_CONTENT is off."""
    planted = plant(alice)
    settings.ADMIN_SHOWS_CONTENT = role != "superuser"
    client = member(role)
    for page in ("/admin/", *(page for label in models() for page in pages_of(label, planted))):
        answer = client.get(page, follow=True)
        assert answer.status_code in (200, 403), (role, page, answer.status_code)
        assert WORD not in answer.content.decode(), (role, page)


def test_who_may_not_see_content_cannot_ask_for_it_either(alice: LocalCaller) -> None:
    file = plant(alice)["files.file"]
    of_tenant = f"/admin/files/file/?tenant__id__exact={alice.tenant.pk}"
    row = f">{file.pk}</span>"
    for query in (f"q={WORD}", "filename__startswith=zap"):
        assert row in text_of(member("operator"), f"{of_tenant}&{query}")
        assert row not in member("support").get(f"{of_tenant}&{query}").content.decode(), query
    assert row in text_of(member("support"), f"{of_tenant}&q={file.pk[:20]}")


def test_auditors_and_support_change_nothing(alice: LocalCaller) -> None:
    planted = plant(alice)
    tenant, token, run, user = (
        planted[label].pk for label in ("tenants.tenant", "tenants.apitoken", "runs.run", "tenants.enduser")
    )
    form = {"_form_submitted": "on", "overlap": "1", "name": alice.tenant.name, "post": "yes"}
    forbidden = [
        *(f"tenants/tenant/{tenant}/{button}/" for button in ("suspend", "resume", "delete_all", "change")),
        *(f"tenants/apitoken/{token}/{button}/" for button in ("rotate", "revoke_one", "change")),
        *(f"runs/run/{run}/{button}/" for button in ("retry", "cancel", "change", "delete")),
        *(f"tenants/enduser/{user}/{button}/" for button in ("erase", "change")),
        *(f"files/file/{planted['files.file'].pk}/{button}/" for button in ("change", "delete")),
    ]
    added = [f"{label.replace('.', '/')}/add/" for label in models()]
    for role, pages in (("auditor", [*forbidden, *added]), ("support", forbidden), ("", forbidden)):
        client = member(role)
        for page in pages:
            assert client.post(f"/admin/{page}", form).status_code == 403, (role, page)
    member("auditor").post("/admin/tenants/apitoken/", {"action": "revoke", "_selected_action": [token]})
    assert alice.get("assistants").status == 200


def test_lists_of_large_tables_count_nothing_and_ask_little(
    alice: LocalCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a table of millions of rows, which are too dear to count."""
    plant(alice)
    monkeypatch.setattr(counting, "CHEAP", 0.0)
    client = member("superuser")
    for label, page in admin.site._registry.items():
        if not getattr(page, "is_large", False):
            continue
        address = f"/admin/{label._meta.app_label}/{label._meta.model_name}/"
        text_of(client, address)
        with CaptureQueriesContext(connection) as asked:
            told = text_of(client, address)
        queries = [query["sql"] for query in asked]
        assert not [sql for sql in queries if sql.startswith("SELECT COUNT(")], address
        assert len(queries) <= 8, (address, queries)
        assert "about" in told


def test_a_list_is_turned_by_id(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    from runs.admin import RunAdmin

    monkeypatch.setattr(RunAdmin, "list_per_page", 2)
    runs = []
    for _ in range(3):
        made = alice.post(f"threads/{alice.thread('x')}/runs", {"assistant_id": alice.assistant()})
        runs.append(made["id"])
    operator = member("operator")

    def rows(query: str) -> list[bool]:
        page = text_of(operator, f"/admin/runs/run/?{query}")
        return [f">{run}</span>" in page for run in runs]

    of_tenant = f"tenant__id__exact={alice.tenant.pk}"
    assert f"pk__lt={runs[1]}" in text_of(operator, f"/admin/runs/run/?{of_tenant}")
    assert "Newest" in text_of(operator, f"/admin/runs/run/?{of_tenant}&pk__lt={runs[1]}")
    for query, found in (
        (of_tenant, [False, True, True]),
        (f"{of_tenant}&pk__lt={runs[1]}", [True, False, False]),
        (f"q={runs[0]}", [True, False, False]),
        (f"q={runs[0][:20]}", [True, False, False]),
        (f"q={alice.tenant.name}", [False, True, True]),
        ("q=nothing+of+the+kind", [False, False, False]),
        (f"{of_tenant}&status__exact=queued&since=1h", [False, True, True]),
        (f"{of_tenant}&status__exact=failed", [False, False, False]),
    ):
        assert rows(query) == found, query

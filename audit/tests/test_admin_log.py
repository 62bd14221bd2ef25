"""What staff do in the Django admin is recorded with their name and with what they changed."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import path

from audit.admin_log import Audited
from audit.models import ActorKind, AuditEntry
from tenants.models import Tenant

site = admin.AdminSite(name="admin")


@admin.register(Tenant, site=site)
class TenantPage(Audited, admin.ModelAdmin[Tenant]):
    fields = ["name", "currency"]
    actions = ["greet"]

    @admin.action(description="Greet")
    def greet(self, request: Any, chosen: Any) -> None:
        chosen.update(currency="EUR")


urlpatterns = [path("admin/", site.urls)]


@pytest.fixture
def ada(db: None) -> Iterator[Client]:
    """A superuser in her browser."""
    User.objects.create_superuser("ada", password="long-enough-2x")
    browser = Client()
    with override_settings(ROOT_URLCONF=__name__):
        browser.post("/admin/login/?next=/admin/", {"username": "ada", "password": "wrong"})
        browser.post("/admin/login/?next=/admin/", {"username": "ada", "password": "long-enough-2x"})
        yield browser


def told() -> list[tuple[str, str, str]]:
    of_ada = AuditEntry.objects.filter(object_type="user", object_name="ada").order_by("pk")
    return list(of_ada.values_list("action", "actor_kind", "actor_name"))


def test_staff_come_and_go(ada: Client) -> None:
    ada.post("/admin/logout/")
    assert told() == [
        ("staff.login_failed", ActorKind.SYSTEM, ""),
        ("staff.login", ActorKind.STAFF, "ada"),
        ("staff.logout", ActorKind.STAFF, "ada"),
    ]
    failed = AuditEntry.objects.filter(object_name="ada").earliest("pk")
    assert (failed.object_name, failed.address) == ("ada", "127.0.0.1")
    assert "wrong" not in str([failed.before, failed.after])


def test_changes_in_the_admin(ada: Client) -> None:
    ada.post("/admin/tenants/tenant/add/", {"name": "Acme", "currency": "USD"})
    tenant = Tenant.objects.get(name="Acme")
    where = f"/admin/tenants/tenant/{tenant.pk}"
    ada.post(f"{where}/change/", {"name": "Acme Ltd", "currency": "USD"})
    ada.post(f"{where}/change/", {"name": "Acme Ltd", "currency": "USD"})
    chosen = {ACTION_CHECKBOX_NAME: [tenant.pk]}
    ada.post("/admin/tenants/tenant/", {"action": "greet", **chosen})
    ada.post("/admin/tenants/tenant/", {"action": "delete_selected", "post": "yes", **chosen})
    entries = list(AuditEntry.objects.filter(tenant_id=tenant.pk).order_by("pk"))
    assert [(each.action, each.before, each.after) for each in entries[1:3]] == [
        ("tenant.modified", {"name": "Acme"}, {"name": "Acme Ltd"}),
        ("tenant.admin.greet", {"currency": "USD"}, {"currency": "EUR"}),
    ]
    assert [each.action for each in (entries[0], entries[-1])] == ["tenant.created", "tenant.deleted"]
    assert {(each.actor_kind, each.actor_name) for each in entries} == {(ActorKind.STAFF, "ada")}
    assert len(entries) == 4
    assert not Tenant.objects.filter(pk=tenant.pk).exists()

"""Which server a tenant's stores are kept by, and how an operator sets it."""

import os
import subprocess
import sys

import pytest
from django.conf import settings as project
from django.contrib.auth import get_user_model
from django.test import Client
from pytest_django.fixtures import Settings

from assistant_site.tests.callers import LocalCaller
from vector_stores import r2r
from vector_stores.models import RetrievalServer
from vector_stores.r2r import errors
from vector_stores.tests.r2r.fake import FakeR2R
from vector_stores.tests.r2r.rows import Text, new_file, new_store


def own_server(alice: LocalCaller, base_url: str, password: str = "secret") -> RetrievalServer:
    server = RetrievalServer(tenant=alice.tenant, base_url=base_url, username="alice@example.com")
    server.set_password(password)
    server.save()
    return server


def test_without_any_server_there_is_no_engine(alice: LocalCaller) -> None:
    assert r2r.configured(alice.tenant.pk) is None
    store = new_store(alice.tenant)
    for act in (
        lambda: r2r.put(new_file(store, ["a"]), "a.txt", [Text("a")]),
        lambda: r2r.search([store], None, "a", 10),
        lambda: r2r.remove_file(store.pk, "vsf_1", tenant_id=store.tenant_id),
        lambda: r2r.remove_store(store.pk, tenant_id=store.tenant_id),
    ):
        with pytest.raises(r2r.R2RFailed) as failed:
            act()
        assert (failed.value.message, failed.value.transient) == (errors.NOT_CONFIGURED, True)


def test_a_tenants_own_server_goes_before_the_environments(
    alice: LocalCaller, bob: LocalCaller, settings: Settings
) -> None:
    settings.R2R_BASE_URL, settings.R2R_USERNAME, settings.R2R_PASSWORD = "http://shared:7272", "all@example.com", "p"
    own_server(alice, "http://own:7272/")

    hers, his = r2r.configured(alice.tenant.pk), r2r.configured(bob.tenant.pk)
    assert hers
    assert his
    assert (hers.account.base_url, hers.account.username) == ("http://own:7272", "alice@example.com")
    assert hers.account.password == "secret"
    assert (his.account.base_url, his.account.username, his.account.password) == ("http://shared:7272",
        "all@example.com", "p")  # fmt: skip


def test_the_password_is_encrypted_and_says_so_when_it_cannot_be_read(alice: LocalCaller, settings: Settings) -> None:
    server = own_server(alice, "http://own:7272")
    assert "secret" not in server.encrypted_password
    settings.ENCRYPTION_KEYS = ["8C0kGdVPsZ6zTqzJ4a3dC8oN0x1yKcXlq9bS2g0cJrU="]
    with pytest.raises(r2r.R2RFailed) as failed:
        r2r.configured(alice.tenant.pk)
    assert (failed.value.message, failed.value.transient) == (errors.UNREADABLE_CREDENTIAL, True)
    assert "ENCRYPTION_KEYS" in failed.value.detail


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("", "http://r2r:7272"),
        ("app.services.file.impl.r2r_file.R2RFileService", "http://r2r:7272"),
        ("app.services.file.impl.oss_file.OSSFileService", ""),
    ],
)
def test_open_assistant_apis_choice_of_plain_files_counts(module: str, expected: str) -> None:
    environment = os.environ | {"R2R_BASE_URL": "http://r2r:7272/", "FILE_SERVICE_MODULE": module}
    program = "from assistant_site import settings; print(settings.R2R_BASE_URL)"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=project.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == expected


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("operator", password="a long password"))
    return client


def test_the_admin_keeps_the_password_and_never_shows_it(operator: Client, alice: LocalCaller, fake: FakeR2R) -> None:
    form = {"tenant": alice.tenant.pk, "base_url": fake.base_url, "username": fake.username}
    page = operator.post(
        "/admin/vector_stores/retrievalserver/add/", form | {"new_password": fake.password}, follow=True
    )
    assert "Saved, but" not in page.content.decode()
    server = RetrievalServer.objects.get(tenant=alice.tenant)
    assert server.password == fake.password

    address = f"/admin/vector_stores/retrievalserver/{alice.tenant.pk}/change/"
    changed = operator.get(address).content.decode()
    assert fake.password not in changed
    assert server.encrypted_password not in changed
    operator.post(address, {"base_url": fake.base_url, "username": fake.username, "new_password": ""})
    assert RetrievalServer.objects.get(tenant=alice.tenant).password == fake.password


def test_the_admin_says_what_is_wrong_with_a_server(operator: Client, alice: LocalCaller, fake: FakeR2R) -> None:
    form = {"tenant": alice.tenant.pk, "base_url": fake.base_url, "username": fake.username, "new_password": "wrong"}
    page = operator.post("/admin/vector_stores/retrievalserver/add/", form, follow=True)
    assert "Saved, but: R2R refuses the login." in page.content.decode()
    assert operator.post("/admin/vector_stores/retrievalserver/add/", form | {"base_url": "r2r"}).status_code == 200

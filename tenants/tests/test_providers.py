"""Which model server answers for whom, and how its key is kept."""

import pytest
from cryptography.fernet import Fernet
from pytest_django.fixtures import Settings

from assistant_site.tests.callers import LocalCaller
from tenants import encryption, providers
from tenants.models import Provider


def test_the_tenants_own_then_the_shared_then_the_environments(
    alice: LocalCaller, bob: LocalCaller, settings: Settings
) -> None:
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = "", ""
    assert providers.endpoint_for(alice.tenant).base_url == settings.DEMO_BASE_URL
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = "http://env/v1", "env-key"
    assert providers.endpoint_for(alice.tenant).api_key == "env-key"

    shared = Provider(tenant=None, name="shared", base_url="http://shared/v1/")
    shared.set_api_key("shared-key")
    shared.save()
    own = Provider(tenant=alice.tenant, name="own", base_url="http://own/v1", quirks={"stream": "false"})
    own.set_api_key("own-key")
    own.save()

    found = providers.endpoint_for(alice.tenant)
    assert (found.base_url, found.api_key, found.quirks) == ("http://own/v1", "own-key", {"stream": "false"})
    assert "own-key" not in repr(found)
    found = providers.endpoint_for(bob.tenant.pk)
    assert (found.base_url, found.api_key) == ("http://shared/v1", "shared-key")


def test_keys_can_be_rotated(settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    stored = encryption.encrypt("secret")
    assert "secret" not in stored
    settings.ENCRYPTION_KEYS = [new, old]
    assert encryption.decrypt(stored) == "secret"
    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(encryption.Undecryptable, match="ENCRYPTION_KEYS"):
        encryption.decrypt(stored)


def test_a_key_that_cannot_be_read_is_said_so(alice: LocalCaller) -> None:
    Provider.objects.create(tenant=alice.tenant, name="x", base_url="http://x/v1", encrypted_key="damaged")
    failed = alice.post("chat/completions", {"model": "m", "messages": []})
    assert failed.status == 500
    assert failed.error["message"] == "The credential of the model provider cannot be read."

"""Encryption of credentials at rest (Fernet). The first of ENCRYPTION_KEYS encrypts, every one of them decrypts.

A column of such texts is an `EncryptedField`; where they lie inside JSON, it is a `SealedJSONField`: so `rotate` finds
them all.
"""

from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from assistant_site.wire.tool_types import SEALED


class Undecryptable(Exception):
    """None of ENCRYPTION_KEYS fits what is stored."""

    def __init__(self) -> None:
        super().__init__(
            "A stored credential cannot be decrypted with any of ENCRYPTION_KEYS. Put the key it was encrypted with "
            "back into ENCRYPTION_KEYS (or var/secrets.json), or enter the credential again in the admin."
        )


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def encrypt(secret: str) -> str:
    return _fernet().encrypt(secret.encode()).decode()


def decrypt(stored: str) -> str:
    try:
        return _fernet().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise Undecryptable from None


def is_current(stored: str) -> bool:
    """Whether the first key fits; `Undecryptable` if none does."""
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(stored.encode())
    except InvalidToken:
        decrypt(stored)
        return False
    return True


def renewed(stored: str) -> str:
    """The same secret, encrypted with the first key; the same text if it is so already. Empty stays empty."""
    return stored if not stored or is_current(stored) else encrypt(decrypt(stored))


class EncryptedField(models.TextField):  # type: ignore[type-arg]
    """A text that is empty or made by `encrypt`."""

    def renewed(self, value: str) -> str:
        return renewed(value)


class SealedJSONField(models.JSONField):
    """A list of tools, in which an entry may have its credentials under `sealed`, made by `encrypt`."""

    def renewed(self, value: Any) -> Any:
        return [
            {**tool, SEALED: renewed(tool[SEALED])} if isinstance(tool, dict) and tool.get(SEALED) else tool
            for tool in value
        ]

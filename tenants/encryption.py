"""Encryption of credentials at rest (Fernet). The first of ENCRYPTION_KEYS encrypts, every one of them decrypts."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


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

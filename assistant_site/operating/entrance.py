"""How staff sign in."""

from typing import Any

from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from assistant_site.guessing import Guesses
from assistant_site.wire.headers import client_address


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """Refuses, for the rest of a minute, an address from which too many passwords were wrong."""

    def clean(self) -> dict[str, Any]:
        guesses = Guesses("password", client_address(self.request))
        if guesses.are_too_many():
            raise ValidationError("Too many wrong passwords from your address. Wait a minute, then try again.")
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            guesses.count()
            raise
        return cleaned

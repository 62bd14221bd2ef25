"""Form fields that the admin of several apps has."""

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget


def new_secret(label: str) -> forms.CharField:
    """For a secret that is stored encrypted: it is entered, never shown, and kept if nothing is entered."""
    return forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted, never shown. Leave empty to keep the present one.",
        label=label,
    )

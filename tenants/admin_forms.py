"""The forms of tenants, tokens and providers in the admin."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tenants.forms import new_secret
from tenants.models import ApiToken, Provider, Tenant
from tenants.scopes import SCOPES

OVERLAPS = [("0", "none: the old value ends now"), ("1", "one hour"), ("24", "one day"), ("168", "seven days")]


class Lines(forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, *, rows: int = 3, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false"})
        super().__init__(**{"required": False, "widget": widget, "strip": False, **options})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class Scopes(forms.MultipleChoiceField):
    """Checkboxes: the general scopes first, then those of each kind of resource."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            choices=[(scope, scope) for scope in SCOPES],
            required=False,
            widget=UnfoldAdminCheckboxSelectMultipleWidget,
            help_text="read, write and admin cover all kinds of resources; the others only theirs.",
            **options,
        )


class WithDefaults(forms.ModelForm[Any]):
    """What is left empty, of `defaults`, is as the model has it."""

    defaults: tuple[str, ...] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in self.defaults:
            if name in self.fields:
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        checked = super().clean() or {}
        for name in self.defaults:
            if name in self.fields and checked.get(name) in (None, ""):
                checked[name] = self._meta.model._meta.get_field(name).get_default()
        return checked


class TokenForm(forms.ModelForm[ApiToken]):
    scopes = Scopes(initial=["read", "write"])
    allowed_models = Lines(help_text="A name a line, * for any characters. Empty: all models.")
    allowed_networks = Lines(help_text="An address or network (10.1.0.0/16) a line. Empty: from anywhere.")

    class Meta:
        model = ApiToken
        fields = [
            *("tenant", "name", "description", "scopes", "allowed_models", "allowed_networks", "expires_at"),
            *("requests_per_minute", "tokens_per_minute"),
        ]


class RotateForm(BaseDialogForm):  # type: ignore[misc]
    overlap = forms.ChoiceField(
        choices=OVERLAPS,
        initial="24",
        widget=UnfoldAdminSelectWidget,
        label="The old value is taken for",
    )

    def clean_overlap(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class TenantForm(WithDefaults):
    defaults = ("currency",)

    class Meta:
        model = Tenant
        fields = "__all__"  # those that the page names  # noqa: DJ007
        labels = {
            "when_busy": "On a busy thread",
            "storage_mb": "Storage, MiB",
            "vector_store_mb": "Vector stores, MiB",
            "code_sessions": "Sessions at once",
            "code_seconds": "Seconds of one execution",
            "code_memory_mb": "Memory, MiB",
            "code_data_mb": "Space, MiB",
            "code_output_kb": "Output, KiB",
            "fetch_allowed_hosts": "Hosts that are allowed",
        }


class DeleteTenantForm(BaseDialogForm):  # type: ignore[misc]
    name = forms.CharField(widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}), label="Name of the tenant")

    def clean_name(self) -> str:
        tenant = Tenant.objects.filter(pk=unquote(self.object_id)).first()
        if tenant is None or self.cleaned_data["name"] != tenant.name:
            raise forms.ValidationError("This is not its name.")
        return str(tenant.name)


class ProviderForm(WithDefaults):
    defaults = ("priority", "weight")

    new_key = new_secret("API key")
    model_names = Lines(help_text="A name a line, * for any characters. Empty: it is asked for every model.")

    class Meta:
        model = Provider
        fields = [
            *("tenant", "token", "name", "base_url", "new_key", "is_enabled", "model_names", "priority", "weight"),
            *("embedding_model", "quirks"),
        ]

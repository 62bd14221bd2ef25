"""Actions: each is one operation of a service that an OpenAPI document describes."""

import json
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants import encryption
from tenants.models import Tenant, TenantModel, TenantQuerySet
from tools.openapi import Operation, masked, openapi_of

Authentication = dict[str, Any]
NO_AUTHENTICATION: Authentication = {"type": "none"}


class Action(TenantModel):
    """`operation` is all that a call needs, as it was read from a document."""

    wire_noun = "action"

    id = WireIdField(prefix="action_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    name = models.CharField(max_length=128)
    operation = models.JSONField()
    sealed = encryption.EncryptedField(default="", blank=True, editable=False)  # the authentication
    use_for_everyone = models.BooleanField(
        default=False, help_text="All tenants may use it, where ACTIONS_FOR_EVERYONE is on."
    )
    metadata = models.JSONField(default=dict, blank=True)

    class Meta(TenantModel.Meta):
        indexes = [models.Index(fields=["tenant", "id"], name="actions_of_tenant")]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    @cached_property
    def called(self) -> Operation:
        return Operation.from_json(self.operation)

    @property
    def authentication(self) -> Authentication:
        """With its secrets; `encryption.Undecryptable` if no key fits."""
        if not self.sealed:
            return NO_AUTHENTICATION
        opened: Authentication = json.loads(encryption.decrypt(self.sealed))
        return opened

    def set_authentication(self, authentication: Authentication) -> None:
        is_none = authentication.get("type", "none") == "none"
        self.sealed = "" if is_none else encryption.encrypt(json.dumps(authentication))

    # --- As the wire has it ---------------------------------------------------------------------------------------

    @property
    def shown_authentication(self) -> Authentication:
        """Without its secrets."""
        try:
            return masked(self.authentication)
        except encryption.Undecryptable:
            return {"type": "unreadable"}

    @property
    def description(self) -> str:
        return self.called.description

    @property
    def operation_id(self) -> str:
        return self.called.operation_id

    @property
    def url(self) -> str:
        return self.called.url

    @property
    def method(self) -> str:
        return self.called.method

    @property
    def path_param_schema(self) -> dict[str, Any] | None:
        return self.called.path_param_schema

    @property
    def query_param_schema(self) -> dict[str, Any] | None:
        return self.called.query_param_schema

    @property
    def body_param_schema(self) -> dict[str, Any] | None:
        return self.called.body_param_schema

    @property
    def body_type(self) -> str:
        return self.called.body_type

    @property
    def function_def(self) -> dict[str, Any]:
        return self.called.function_def

    @property
    def openapi_schema(self) -> dict[str, Any]:
        """A document of this operation alone."""
        return openapi_of(self.called)

    @property
    def extra(self) -> dict[str, Any]:
        """Nothing; Open Assistant API's actions have the field."""
        return {}


def usable_by(tenant: Tenant) -> TenantQuerySet[Action]:
    """The actions that the tenant's assistants may use: its own, and those for everyone."""
    if not settings.ACTIONS_FOR_EVERYONE:
        own: TenantQuerySet[Action] = Action.objects.of(tenant)
        return own
    usable: TenantQuerySet[Action] = Action.objects.across_tenants().filter(Q(tenant=tenant) | Q(use_for_everyone=True))
    return usable

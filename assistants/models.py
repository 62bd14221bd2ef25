"""Assistants: a model with instructions and tools, under an id that programs keep."""

from typing import Any

from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants.encryption import SealedJSONField
from tenants.models import TenantModel


def automatic() -> str:
    """The response format of whoever asks for none."""
    return "auto"


class Assistant(TenantModel):
    wire_noun = "assistant"

    id = WireIdField(prefix="asst_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    name = models.CharField(max_length=256, null=True, blank=True)  # noqa: DJ001 null and "" differ on the wire
    description = models.CharField(max_length=512, null=True, blank=True)  # noqa: DJ001
    model = models.CharField(max_length=256)
    instructions = models.TextField(null=True, blank=True)  # noqa: DJ001
    tools = SealedJSONField(default=list, blank=True)
    tool_resources = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    # Null: nobody set it, so it is not sent to the model, which may refuse it.
    temperature = models.FloatField(null=True, blank=True)
    top_p = models.FloatField(null=True, blank=True)
    reasoning_effort = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001
    response_format = models.JSONField(default=automatic, blank=True)
    extra_body = models.JSONField(default=dict, blank=True, help_text="model_params: sent to the model as they are.")

    class Meta(TenantModel.Meta):
        indexes = [models.Index(fields=["tenant", "id"], name="assistants_of_tenant")]

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.id})"

    @property
    def memory(self) -> dict[str, Any]:
        """How much of a thread its runs are shown, if its metadata says so."""
        memory = self.metadata.get("memory")
        return memory if isinstance(memory, dict) else {}

    @property
    def wire_tool_resources(self) -> dict[str, object]:
        """The resources as they are answered: an assistant that runs code always shows its files."""
        shown = dict(self.tool_resources)
        if any(tool["type"] == "code_interpreter" for tool in self.tools):
            shown.setdefault("code_interpreter", {"file_ids": []})
        return shown

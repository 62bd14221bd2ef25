"""What a thread's code has left: files that outlive the session they were written in. And the other tools' tables."""

from django.db import models
from django.utils import timezone

from tenants.models import TenantModel
from threads.models import Thread
from tools.mcp.models import McpServer, McpToolList
from tools.openapi_actions.models import Action
from tools.web_search.models import SearchKey

__all__ = ["Action", "CodeFile", "CodeSpace", "McpServer", "McpToolList", "SearchKey"]


class CodeSpace(TenantModel):
    """What is known of a thread's code, made when the tool is first offered to one of its runs."""

    wire_noun = "code space"

    thread = models.OneToOneField(Thread, on_delete=models.CASCADE, related_name="code_space")
    # Given once and for good: {name in /mnt/data: id of the file}.
    inputs = models.JSONField(default=dict)
    generation = models.CharField(
        max_length=200, default="", blank=True, help_text="The last session that stood ready."
    )
    # Of that session. {name: [bytes, modified]}: the files whose state there is the one that is kept or was put.
    seen = models.JSONField(default=dict)
    # Kept files that could not be put into it, so that they are not missed there.
    absent = models.JSONField(default=list)
    used_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantModel.Meta):
        indexes = [models.Index(fields=["tenant", "id"], name="code_spaces_of_tenant")]
        verbose_name = "code session"

    def __str__(self) -> str:
        return f"code of {self.thread_id}"


class CodeFile(TenantModel):
    """A file that code wrote or changed in its thread's /mnt/data, as it was after the last execution."""

    MOST_NAME = 512  # characters; the sandbox's names may be longer, and are not kept then

    wire_noun = "code file"

    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="code_files", db_index=False)
    name = models.CharField(max_length=MOST_NAME, help_text="The path below /mnt/data.")
    blob = models.CharField(max_length=200, editable=False)
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    # The input that was put there under this name and has been changed; its id leads to this file, too.
    input_id = models.CharField(max_length=64, default="", blank=True)
    # The file that was made of this content, for a link in an answer.
    file_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["thread", "name"], name="one_code_file_per_name")]
        indexes = [models.Index(fields=["tenant", "id"], name="code_files_of_tenant")]

    def __str__(self) -> str:
        return self.name

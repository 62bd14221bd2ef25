"""A customer of the installation, and what it may use."""

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from assistant_site.addresses import is_entry
from assistant_site.wire.ids import WireIdField


class WhenBusy(models.TextChoices):
    """What is done with a message or run for a thread whose run is not at its end."""

    REJECT = "reject", "reject: the documented error, as OpenAI"
    QUEUE = "queue", "queue: wait until the run has ended"
    INTERRUPT = "interrupt", "interrupt: cancel the run, then go on"


def limit(what: str, *, least: int = 1) -> "models.PositiveBigIntegerField[int | None, int | None]":
    return models.PositiveBigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(least)], help_text=f"{what} Empty: no limit."
    )


def code_limit(what: str, *, least: int = 1) -> "models.PositiveIntegerField[int | None, int | None]":
    return models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(least)],
        help_text=f"{what} Empty: as the installation has it; more than that changes nothing.",
    )


def check_hosts(text: str) -> None:
    """Raises `ValidationError` for a line that is no host name, address or network."""
    for line in text.split():
        if not is_entry(line):
            raise ValidationError(f"{line} is not a host name, an address or a network such as 10.1.0.0/16.")


class Tenant(models.Model):
    """A customer of this installation: sees nothing but its own objects."""

    id = WireIdField(prefix="tenant_")
    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    suspended_at = models.DateTimeField(null=True, blank=True, help_text="Set: every request is refused.")
    deletion_began_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Set: it is suspended for good, and all it owns is being deleted.",
    )
    currency = models.CharField(
        max_length=3,
        default="USD",
        db_default="USD",
        validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as USD.")],
        help_text="In which its usage is priced; see Prices.",
    )
    requests_per_minute = limit("Requests that its tokens may make together in a minute.")
    tokens_per_minute = limit("Tokens that its model calls may take in a minute.")
    concurrent_runs = limit("Runs of it that are carried out at once; more wait in the queue.")
    queued_runs = limit("Runs of it that may wait; more are refused.", least=0)
    storage_mb = limit("All its files together, in MiB.", least=0)
    vector_store_mb = limit("All its vector stores together, in MiB.", least=0)
    code_seconds_per_month = limit("Seconds of code execution in a calendar month (UTC).", least=0)
    when_busy = models.CharField(
        max_length=16,
        choices=WhenBusy.choices,
        default=WhenBusy.REJECT,
        help_text="For messages and runs on a busy thread, unless the request says X-Holdfast-When-Busy.",
    )
    code_sessions = code_limit("Code sessions at once.")
    code_seconds = code_limit("Seconds that one execution of code may take.")
    code_memory_mb = code_limit("Memory of a code session, in MiB.", least=256)
    code_data_mb = code_limit("Space of a code session's /mnt/data, in MiB.", least=16)
    code_output_kb = code_limit("How much of an execution's output the model is shown, in KiB.")
    fetch_allowed_hosts = models.TextField(
        blank=True,
        default="",
        validators=[check_hosts],
        help_text="Beside FETCH_ALLOWED_HOSTS, what may be asked for this tenant although it is not public: one host "
        "name, address or network (10.1.0.0/16) a line. Its callers, and its models when a text talks them into it, "
        "can then send any request there, on every port, from this server. Never name what trusts this server by its "
        "address: databases, the sandbox, a cloud's metadata service.",
    )

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether its tokens are taken at all."""
        return self.suspended_at is None and self.deletion_began_at is None

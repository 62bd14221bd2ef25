"""What comes with a run for its tools only, such as credentials: kept encrypted, and no longer than the run."""

import json
import logging
from typing import Any

from runs.models import Run
from tenants import encryption

logger = logging.getLogger(__name__)

# Of what in `extra_body`. Callers cannot give `depth`: how many assistants have called each other to start this run.
NAMES = ("action_authentications", "depth")


def sealed(extra_body: dict[str, Any]) -> str:
    """What is for the tools in a request's `extra_body`, as `Run.sealed` has it."""
    secrets = {name: extra_body[name] for name in NAMES if extra_body.get(name)}
    return encryption.encrypt(json.dumps(secrets)) if secrets else ""


def of(run: Run) -> dict[str, Any]:
    """The same again. Empty if it cannot be decrypted: the calls then go without."""
    if not run.sealed:
        return {}
    try:
        secrets: dict[str, Any] = json.loads(encryption.decrypt(run.sealed))
    except encryption.Undecryptable as problem:
        logger.error("The credentials that came with %s are not used: %s", run.pk, problem)
        return {}
    return secrets

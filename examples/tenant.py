"""What an operator does for a new customer: a tenant, a token with limits, a budget, and what was used.

It needs the operator's token: `ADMIN_TOKEN` in the environment of `make run`, and here.
"""

import os
import secrets
import sys
from typing import Any

from openai import NotFoundError, OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")

if not os.environ.get("ADMIN_TOKEN"):
    sys.exit("Set ADMIN_TOKEN, here and for make run: openssl rand -hex 32")

other_customer = OpenAI()
operator = OpenAI(api_key=os.environ["ADMIN_TOKEN"])

tenant = operator.post(
    "/tenants",
    body={"name": f"Acme {secrets.token_hex(2)}", "limits": {"concurrent_runs": 5, "storage_mb": 100}},
    cast_to=dict[str, Any],
)
made = operator.post(
    "/tokens",
    cast_to=dict[str, Any],
    body={
        "tenant": tenant["id"],
        "name": "web shop",
        "scopes": ["assistants.write", "threads.write", "runs.write"],
        "limits": {"requests_per_minute": 600},
    },
)
print("made:", tenant["name"], "with the token", made["name"])

shop = OpenAI(api_key=made["assistant_token"])  # shown this once
assistant = shop.beta.assistants.create(model=MODEL, name="Clerk")
run = shop.beta.threads.create_and_run_poll(
    assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hello"}]}
)
print("its run:", run.status)

try:
    other_customer.beta.assistants.retrieve(assistant.id)
except NotFoundError as error:
    print("for others:", error.message)

[used] = operator.get(f"/usage?tenant={tenant['id']}", cast_to=dict[str, Any])["data"]
print("used:", used["runs"], "run,", used["prompt_tokens"] + used["completion_tokens"], "tokens")

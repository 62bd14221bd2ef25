"""What `manage.py up` shows once everything is ready."""

import socket
from urllib.parse import quote

from django.conf import settings

from assistant_site.embedded import address
from assistant_site.embedded.nursery import Made

LINE = "─" * 78


def welcome(made: Made, playground_key: str, code: str) -> str:
    """One screen: where everything is, what was made, and three lines to paste. `code`: as /readyz tells it."""
    base = f"http://{address.in_url(address.reachable(settings.HOST))}:{settings.PORT}"
    lines = [
        LINE,
        f"Holdfast {settings.VERSION} is ready.  Ctrl-C ends it; your data stays in {settings.VAR_DIR}.",
        "",
        f"  Playground   {base}/{f'#key={quote(playground_key)}' if settings.AUTH_ENABLED else ''}",
        f"               {_playground()}",
        f"  API          {base}/v1   (also {base}/api/v1)",
        f"  API docs     {base}/docs",
        f"  Admin        {base}/admin",
        f"  Model        {_model()}",
        f"  Code         {_code(code)}",
    ]
    if settings.HOST in ("0.0.0.0", "::"):  # noqa: S104
        lines.append(f"  Network      other machines reach it at http://{socket.gethostname()}:{settings.PORT}")
    lines.append("")
    if made.admin_password:
        lines.append(f"  Admin user   admin, password {made.admin_password}   (shown only now)")
    if made.token:
        lines.append(f"  API token    {made.token}   (shown only now)")
    else:
        lines.append("  API token    for another one: .venv/bin/python manage.py create_token --tenant default")
    lines += [
        "",
        "  from openai import OpenAI",
        f'  client = OpenAI(base_url="{base}/v1", api_key="{made.token or "YOUR TOKEN"}")',
        f'  print(client.beta.assistants.create(model="{_model_name()}", name="First").id)',
        LINE,
    ]
    return "\n".join(lines)


def welcome_at(base: str, made: Made) -> str:
    """The same for an installation whose processes are started one by one, reached at `base`."""
    key = f"#key={quote(settings.PLAYGROUND_KEY)}" if settings.PLAYGROUND_KEY and settings.AUTH_ENABLED else ""
    lines = [
        LINE,
        f"  Playground   {base}/{key}",
        f"  API          {base}/v1   (also {base}/api/v1)",
        f"  API docs     {base}/docs",
        f"  Admin        {base}/admin",
        f"  Model        {_model()}",
        "",
        f"  Admin user   admin, password {made.admin_password}   (shown only now)"
        if made.admin_password
        else "  Admin user   there is one; another password: manage.py changepassword NAME",
        f"  API token    {made.token}   (shown only now; the playground takes it too)"
        if made.token
        else "  API token    for another one: manage.py create_token --tenant default",
        LINE,
    ]
    return "\n".join(lines)


def _playground() -> str:
    if not settings.AUTH_ENABLED:
        return "(ready to use by everybody: AUTH_ENABLED is false)"
    until = "as long as PLAYGROUND_KEY stays" if settings.PLAYGROUND_KEY else "until Holdfast ends"
    return f"(ready to use; the link holds {until})"


def _model() -> str:
    if settings.OPENAI_BASE_URL:
        return f"answers come from {_without_credentials(settings.OPENAI_BASE_URL)}"
    return "the built-in demo model answers; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one"


def _code(told: str) -> str:
    word, _, sentence = told.partition(": ")
    if word == "available":
        return "python in a sandbox: ready"
    if word == "preparing":
        return f"python in a sandbox: being prepared; {settings.VAR_DIR / 'log' / 'sandbox.log'} tells when it is ready"
    return f"python in a sandbox: off: {sentence or 'CODE_INTERPRETER is off.'}"


def _model_name() -> str:
    return "gpt-4o-mini" if settings.OPENAI_BASE_URL else "demo"


def _without_credentials(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"

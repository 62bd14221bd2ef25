"""What a provider's failure means: for the run, for a retry, and which of its words a tenant may read.

Providers' and gateways' messages name inner addresses, credentials, organisations and routes, so a tenant reads our own
sentence, except where only the provider knows what is wrong with the request (400, 404, 422) and its message is clean.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from assistant_site.llm.chat import ModelFailed, Usage

QUOTA = "You exceeded your current quota, please check your plan and billing details."
RATE_LIMITED = "The model provider's rate limit was reached. Please try again later."
CREDENTIAL_REFUSED = "The model provider refused the server's credential."
UNREACHABLE = "The model provider could not be reached."
SILENT = "The model provider did not answer in time."
WENT_WRONG = "Sorry, something went wrong."
ENDED_EARLY = "The model's answer ended early."
UNREADABLE = "The model provider sent an answer that could not be read."
NO_CHANNEL = "The model provider has nothing that serves this model."
NOT_COMPATIBLE = (
    "The model provider's address answered, but is not an OpenAI-compatible endpoint: does the base URL end in /v1?"
)
MOVED = "The model provider's address redirects to another one: the base URL must be the final address."
PROMPT_REFUSED = "The model provider refused the prompt."
REQUEST_REFUSED = "The model provider refused the request."

WITHHELD = "(the provider's words are not logged: they may quote the request)"

MAX_SHOWN_CHARACTERS = 400

# Words of OpenAI, One API and its forks, DeepSeek, OpenRouter.
_QUOTA_WORDS = (
    "insufficient_quota",
    "insufficient_user_quota",
    "额度已用尽",
    "额度不足",
    "exceeded your current quota",
    "insufficient balance",
    "insufficient credits",
    "billing_hard_limit_reached",
)
# One API: no channel for this model in the caller's group; a bug in its own code. Asking again changes nothing.
_HOPELESS_WORDS = ("无可用渠道", "one_api_panic")
# A provider that does not know the model: OpenAI's code, LiteLLM's words (with a 400), One API's (with a 503).
_NO_MODEL_WORDS = ("model_not_found", "invalid model name", "无可用渠道")
_OF_THE_REQUEST = (400, 413, 415, 422)  # refused for what it says: another provider would refuse it, too
_PROMPT_CODES = (
    "invalid_prompt",
    "context_length_exceeded",
    "exceed_context_size_error",
    "contextwindowexceedederror",
    "content_policy",
    "contentpolicyviolation",
    "content_filter",
    "responsibleaipolicyviolation",
)
_PROMPT_SENTENCES = (
    "maximum context length",
    "context window",
    "available context size",
    "prompt is too long",
    "content management policy",
)
_RATE_WORDS = ("rate_limit", "rate limit", "too_many_requests", "too many requests", "throttl")
# The last one is LiteLLM's for a key that is not its master key, with status 400.
_CREDENTIAL_TYPES = (
    "authentication_error",
    "permission_error",
    "invalid_api_key",
    "authenticationerror",
    "no_db_connection",
)

# What LiteLLM writes around the provider's words: its classes in front, its routing behind.
_LITELLM_FRONT = re.compile(r"^litellm\.(?:[\w.]+(?:: | - ))+")
_LITELLM_BEHIND = re.compile(
    r"\s*(?:LiteLLM: model group|Received Model Group=|Available Model Group Fallbacks="
    r"|model=\S+ context_window_fallbacks=).*$",
    re.S,
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.I)
_SECRET = re.compile(r"\b(?:sk|pk|rk|key|gsk|xai)[-_][\w*.-]{6,}|\bBearer\s+\S+|\bAIza[\w-]{10,}", re.I)
_PRIVATE = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b"  # IPv4
    r"|(?:[0-9a-f]{0,4}:){3,}[0-9a-f]{0,4}"  # IPv6
    r"|[\w.-]+:\d{2,5}\b"  # host:port
    r"|\b[\w-]+(?:\.[\w-]+)*\.(?:local|internal|lan|svc|corp|intra|home)\b"
    r"|\blocalhost\b|\bdial (?:tcp|udp)\b|\borg-\w{6,}|\b[A-Za-z0-9_-]{32,}\b",
    re.I,
)


class TurnFailed(ModelFailed):
    """A failure that still knows whether asking again could help.

    `retry`: the same provider; `elsewhere`: another one that has the model. `lacks_model`: this one has not, as it
    says, and may be well otherwise. `retry_after` is the provider's own wish in seconds; `detail` and the provider's
    `request_id` are for operators, never for the tenant. `logged` is what the log may have of it: `unquoted` where that
    is given, because the provider's words are about the request and may quote it, else message and detail.
    """

    def __init__(
        self,
        code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"],
        message: str,
        *,
        retry: bool = False,
        elsewhere: bool = True,
        lacks_model: bool = False,
        retry_after: float | None = None,
        detail: str = "",
        unquoted: str = "",
        status: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(code, message, status=status, usage=usage)
        self.logged = unquoted or f"{message} {detail}".rstrip()
        self.retry = retry
        self.elsewhere = elsewhere
        self.lacks_model = lacks_model
        self.retry_after = retry_after
        self.detail = detail
        self.request_id = ""


@dataclass(frozen=True)
class ProviderError:
    """An error as the provider put it; every field may be empty."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str = ""

    @property
    def words(self) -> str:
        """Everything it says, in lower case, for looking up known words."""
        return f"{self.code} {self.type} {self.param} {self.message}".lower()

    @property
    def status(self) -> int | None:
        """The HTTP status some gateways put into `code` of an error inside a 200."""
        return int(self.code) if self.code.isdecimal() and 400 <= int(self.code) <= 599 else None


def error_in(body: object) -> ProviderError | None:
    """The error that a decoded body or chunk tells, in any of the known envelopes; None if it tells none.

    `{"error": {…} | "…"}` (OpenAI and most), the same in a list (Gemini), `{"object": "error", …}` (vLLM),
    `{"detail": …}` (FastAPI servers), `{"code", "message"}` without choices (DashScope).
    """
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return None
    found = body.get("error")
    if isinstance(found, Mapping) and found:
        return _from_fields(found)
    if isinstance(found, str) and found:
        return ProviderError(message=found, code=_text(body.get("code")), type=_text(body.get("type")))
    if found and not isinstance(found, bool | Mapping | list):
        return ProviderError(message=_text(body.get("message")), code=_text(found))
    if body.get("choices"):
        return None
    if body.get("object") == "error" or body.get("type") == "error":
        return _from_fields(body)
    if body.get("message") and (body.get("code") or body.get("type") or body.get("status")):
        return _from_fields(body)
    if body.get("detail"):
        return ProviderError(message=_text(body["detail"]))
    return None


def _from_fields(fields: Mapping[str, Any]) -> ProviderError:
    return ProviderError(
        message=_text(fields.get("message") or fields.get("detail")),
        type=_text(fields.get("type") or fields.get("status")),
        code=_text(fields.get("code")),
        param=_text(fields.get("param")),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)[:4_000]


def judge(
    error: ProviderError, status: int | None, *, retry_after: float | None = None, usage: Usage | None = None
) -> TurnFailed:
    """What a provider's error means. `status` is that of the answer; None for an error inside a 200."""
    told = status or error.status
    words = error.words
    may_quote = told in _OF_THE_REQUEST or _concerns_the_prompt(error, told)
    has_no_model = told == 404 or any(word in words for word in _NO_MODEL_WORDS)

    def failed(
        code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"],
        message: str,
        *,
        retry: bool = False,
        elsewhere: bool = True,
    ) -> TurnFailed:
        return TurnFailed(
            code,
            message,
            retry=retry,
            elsewhere=elsewhere or has_no_model,
            lacks_model=has_no_model,
            retry_after=retry_after,
            detail=f"code={error.code!r} type={error.type!r} message={error.message[:300]!r}",
            unquoted=f"{code}: code={error.code[:60]!r} type={error.type[:60]!r} {WITHHELD}" if may_quote else "",
            status=told,
            usage=usage,
        )

    if told == 402 or any(word in words for word in _QUOTA_WORDS):
        return failed("rate_limit_exceeded", QUOTA)
    if told in (401, 403) or error.type.lower() in _CREDENTIAL_TYPES:
        return failed("server_error", CREDENTIAL_REFUSED)
    if _concerns_the_prompt(error, told):
        return failed("invalid_prompt", shown_to_tenant(error.message) or PROMPT_REFUSED, elsewhere=False)
    if any(word in words for word in _HOPELESS_WORDS):
        return failed("server_error", NO_CHANNEL if "无可用渠道" in words else WENT_WRONG)
    if told == 429 or (told is None and any(word in words for word in _RATE_WORDS)):
        return failed("rate_limit_exceeded", RATE_LIMITED, retry=True)
    if told is None or told >= 500 or told in (408, 409):
        return failed("server_error", WENT_WRONG, retry=True)
    if "tool_use_failed" in words:  # Groq: the model wrote a broken call; it usually does better the next time
        return failed("server_error", WENT_WRONG, retry=True)
    if 300 <= told < 400:
        return failed("server_error", MOVED)
    message = shown_to_tenant(error.message) or REQUEST_REFUSED
    return failed("server_error", message, elsewhere=told not in _OF_THE_REQUEST)


def _concerns_the_prompt(error: ProviderError, status: int | None) -> bool:
    named = f"{error.code} {error.type}".lower()
    if any(code in named for code in _PROMPT_CODES):
        return True
    words = error.message.lower()
    by_sentence = any(code in words for code in (*_PROMPT_CODES, *_PROMPT_SENTENCES))
    return by_sentence and status in (None, 400, 413, 422)


def shown_to_tenant(message: str) -> str:
    """A provider's message with its links cut out, or nothing when it holds an address, a host or a credential."""
    message = _LITELLM_BEHIND.sub("", _LITELLM_FRONT.sub("", message))
    shown = re.sub(r"\s+", " ", _URL.sub("…", message)).strip()
    if not shown or shown.startswith("<") or _SECRET.search(shown) or _PRIVATE.search(shown):
        return ""
    return shown if len(shown) <= MAX_SHOWN_CHARACTERS else shown[: MAX_SHOWN_CHARACTERS - 1] + "…"


def without_secrets(text: str, key: str = "") -> str:
    """A text for the log: credentials replaced, one line."""
    if key:
        text = text.replace(key, "***")
    return re.sub(r"\s+", " ", _SECRET.sub("***", text))

import pytest

from assistant_site.llm.errors import ProviderError, error_in, judge, shown_to_tenant, without_secrets

CASES = [
    (429, {"error": {"message": "slow down"}}, "rate_limit_exceeded", "rate limit", True),
    (429, {"error": {"code": "insufficient_quota", "message": "x"}}, "rate_limit_exceeded", "current quota", False),
    (401, {"error": {"message": "该令牌额度已用尽", "type": "one_api_error"}}, "rate_limit_exceeded", "quota", False),
    (403, {"error": {"code": "insufficient_user_quota"}}, "rate_limit_exceeded", "current quota", False),
    (402, {"error": {"message": "Insufficient Balance"}}, "rate_limit_exceeded", "current quota", False),
    (401, {"error": {"message": "无效的令牌"}}, "server_error", "refused the server's credential", False),
    (403, {"error": {"message": "no"}}, "server_error", "refused the server's credential", False),
    (
        401,
        {"error": {"message": "该令牌已过期 (request id: 1)", "type": "one_api_error"}},
        "server_error",
        "creden",
        False,
    ),
    (
        403,
        {"error": {"message": "该令牌无权使用模型：m", "type": "one_api_error"}},
        "server_error",
        "credential",
        False,
    ),
    (
        429,
        {"error": {"message": "当前分组上游负载已饱和，请稍后再试", "type": "upstream_error", "code": "429"}},
        "rate_limit_exceeded",
        "rate limit",
        True,
    ),
    (
        503,
        {"error": {"message": "当前分组 default 下对于模型 x 无可用渠道"}},
        "server_error",
        "serves this model",
        False,
    ),
    (500, {"error": {"type": "one_api_panic", "message": "x"}}, "server_error", "went wrong", False),
    (500, {"error": {"code": "do_request_failed", "message": "dial tcp 10.1.2.3:80"}}, "server_error", "wrong", True),
    (
        502,
        {
            "error": {
                "message": " (request id: 1)",
                "type": "upstream_error",
                "code": "bad_response_status_code",
                "param": "502",
            }
        },
        "server_error",
        "went wrong",
        True,
    ),
    (408, {}, "server_error", "went wrong", True),
    (409, {}, "server_error", "went wrong", True),
    (400, {"error": {"code": "context_length_exceeded", "message": "Too long."}}, "invalid_prompt", "Too long.", False),
    (400, {"error": {"message": "maximum context length is 9"}}, "invalid_prompt", "maximum context", False),
    (400, {"error": {"code": "content_filter", "message": ""}}, "invalid_prompt", "refused the prompt", False),
    (400, {"error": {"code": "tool_use_failed", "failed_generation": "x"}}, "server_error", "went wrong", True),
    (404, {"error": {"message": "The model `x` does not exist"}}, "server_error", "does not exist", False),
    (404, {"detail": "Not Found"}, "server_error", "Not Found", False),
    (422, {"detail": [{"loc": ["body"], "msg": "bad"}]}, "server_error", "bad", False),
    (
        400,
        {"error": {"message": "no route to http://10.0.0.1/v1 for sk-abcdefghijk"}},
        "server_error",
        "the req",
        False,
    ),
    (301, {}, "server_error", "redirects", False),
    (400, {"error": {"message": "No connected db.", "type": "no_db_connection"}}, "server_error", "credential", False),
    (
        429,
        {
            "error": {
                "message": "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota",
                "type": "throttling_error",
                "code": "429",
            }
        },
        "rate_limit_exceeded",
        "current quota",
        False,
    ),
    (
        400,
        {
            "error": {
                "message": "Failed to call a function.",
                "type": "invalid_request_error",
                "code": "tool_use_failed",
                "failed_generation": "<function=f{",
            }
        },
        "server_error",
        "went wrong",
        True,
    ),
]


@pytest.mark.parametrize(("status", "body", "code", "message", "retry"), CASES)
def test_a_refusal_is_understood(status: int, body: object, code: str, message: str, retry: bool) -> None:
    failure = judge(error_in(body) or ProviderError(), status)

    assert (failure.code, failure.retry, failure.status) == (code, retry, status)
    assert message in failure.message


@pytest.mark.parametrize(
    "message",
    [
        "connect to 10.0.0.7 refused",
        "upstream llm.svc.cluster.local failed",
        "lookup db.internal",
        "redis:6379 is down",
        "fe80::1:2:3 unreachable",
        "wrong key sk-proj-abcdefgh12345",
        "Authorization: Bearer abc",
        "key AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
        "<html>502</html>",
        "localhost refused",
    ],
)
def test_what_belongs_to_the_operator_is_never_shown(message: str) -> None:
    assert shown_to_tenant(message) == ""


def test_links_are_cut_out_and_length_is_bounded() -> None:
    assert shown_to_tenant("No access. See https://example.com/help?x=1 for more.") == "No access. See … for more."
    assert len(shown_to_tenant("a b " * 1_000)) == 400


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "litellm.BadRequestError: OpenAIException - messages[0] is wrong\n\n"
            "LiteLLM: model group 'inner-route' failed with the error above. No fallback was attempted.",
            "messages[0] is wrong",
        ),
        (
            "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: "
            "OpenAIException - This model's maximum context length is 9 tokens.\nmodel=inner-route. "
            "context_window_fallbacks=None. fallbacks=None.\n\nSet 'context_window_fallback' - https://example.com/routing#fallbacks",
            "This model's maximum context length is 9 tokens.",
        ),
        (
            "litellm.BadRequestError: AnthropicException - No. Received Model Group=inner-route\n"
            "Available Model Group Fallbacks=None",
            "No.",
        ),
        ("The parameter a: b - c is wrong", "The parameter a: b - c is wrong"),
    ],
)
def test_a_gateways_routing_is_cut_out(message: str, shown: str) -> None:
    assert shown_to_tenant(message) == shown


def test_the_log_holds_no_credential() -> None:
    assert without_secrets("key tok-12345 and sk-abcdefgh\nBearer xyz", "tok-12345") == "key *** and *** ***"

"""The page at `/`: the playground, and without JavaScript what runs here and how to use it."""

import base64
import hashlib
import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.safestring import mark_safe
from django.utils.translation.trans_real import parse_accept_lang_header
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from assistant_site import code
from assistant_site.playground import assets, entering, versions

LANGUAGES = {"en": "en", "zh": "zh-CN", "ja": "ja"}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' '{import_map}'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "font-src": "'self'",
    "connect-src": "'self'",  # WebSockets of this host too
    "media-src": "blob:",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "dompurify",
}
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache, private",
}


@csrf_exempt  # so that a POST is told the truth: 405, not 403
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    front = assets.front_of_now()
    versions.keep(front)
    import_map = json.dumps(front.import_map, separators=(",", ":"), sort_keys=True)
    told = settings_of(request, front)
    shown = {
        **told,
        "settings": told,
        # Our own words: no name or path of ours can end a script element.
        "import_map": mark_safe(import_map),  # noqa: S308
        "styles": [front.address(name) for name in front.styles],
        "first_styles": front.address("start.css"),
        "program": front.address("app.js"),
        "modules": [front.address(name) for name in front.start],
    }
    response = render(request, "playground.html", shown)
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers["Content-Security-Policy"] = policy(import_map)
    patch_vary_headers(response, ["Cookie", "Accept-Language"])
    if told["staff"]:
        return response  # there is a token in it, each time another
    etag = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    response.headers["ETag"] = etag
    conditional = get_conditional_response(request, etag=etag, response=response)
    assert isinstance(conditional, HttpResponse)
    return conditional


def settings_of(request: HttpRequest, front: assets.Front) -> dict[str, Any]:
    """What the program is told of this server and of who opens the page."""
    demo = not settings.OPENAI_BASE_URL  # not DEMO_MODEL: the demo model may be there beside a real one
    state = code.state()
    return {
        "version": settings.VERSION,
        "base_url": request.build_absolute_uri("/v1"),
        "demo": demo,
        "model": "demo" if demo else "gpt-4o-mini",
        "code": {"word": state.word, "sentence": state.sentence},
        "auth": settings.AUTH_ENABLED,
        "staff": staff_of(request),
        "language": language_of(request),
        "assets": front.base,
    }


def staff_of(request: HttpRequest) -> dict[str, str] | None:
    """The signed-in member of the staff, if it may choose a tenant. Without a session's cookie nothing is looked up."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    user: Any = request.user
    if not entering.may_enter(user):
        return None
    return {"name": user.get_username(), "csrf": get_token(request)}


def language_of(request: HttpRequest) -> str:
    """Which of the page's languages the browser likes best; English if none."""
    for wanted, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        if found := LANGUAGES.get(wanted.partition("-")[0]):
            return found
    return "en"


def policy(import_map: str) -> str:
    """The Content-Security-Policy: the one inline script that it lets in is the import map, by its hash."""
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    return "; ".join(f"{name} {value}" for name, value in POLICY.items()).replace("{import_map}", f"sha256-{digest}")

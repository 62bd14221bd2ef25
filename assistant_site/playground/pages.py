"""The page at `/`: what runs here and how to use it. The chat playground will join it."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from assistant_site import code


@csrf_exempt  # so that a POST is told the truth: 405, not 403
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    demo = not settings.OPENAI_BASE_URL  # not DEMO_MODEL: the demo model may be there beside a real one
    shown = {
        "version": settings.VERSION,
        "base_url": request.build_absolute_uri("/v1"),
        "demo": demo,
        "model": "demo" if demo else "gpt-4o-mini",
        "code": code.state(),
    }
    return render(request, "home.html", shown)

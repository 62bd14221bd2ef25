"""Every address of the server."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.http.response import HttpResponseBase
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView

from assistant_site import health, limits, passthrough, scraping
from assistant_site.playground import assets, entering, pages
from assistant_site.wire import errors, rest
from assistant_site.wire.headers import API_PREFIXES, request_id

admin.autodiscover()


@csrf_exempt
def unknown_path(request: HttpRequest, path: str = "") -> HttpResponse:
    return rest.error_response(rest.invalid_url(request))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    if request.path.lstrip("/").startswith(API_PREFIXES):
        return unknown_path(request)
    return HttpResponseNotFound(f"There is nothing at {request.path}.\n", content_type="text/plain; charset=utf-8")


def failed(request: HttpRequest) -> HttpResponseBase:
    return rest.error_response(errors.bug(request_id(request)))


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """What Django refuses by itself, such as a Host header that is none or not allowed."""
    return rest.error_response(errors.InvalidRequest("The request is malformed, or its Host header is not allowed."))


handler400 = bad_request
handler404 = not_found
handler500 = failed

api: list[URLPattern | URLResolver] = [
    path("models", passthrough.ModelListView.as_view()),
    path("models/<path:model>", passthrough.ModelDetailView.as_view()),
    path("chat/completions", passthrough.ChatCompletionsView.as_view()),
    path("embeddings", passthrough.EmbeddingsView.as_view()),
    path("", include("tenants.urls")),
    path("", include("metering.urls")),
    path("limits", limits.LimitsView.as_view()),
    path("", include("audit.urls")),
    path("", include("erasure.urls")),
    path("", include("files.urls")),
    path("", include("vector_stores.urls")),
    path("", include("assistants.urls")),
    path("", include("tools.urls")),
    path("", include("runs.urls")),  # before threads: /threads/runs is no thread
    path("", include("threads.urls")),
    re_path(r"^(?P<path>.*)$", unknown_path),
]

urlpatterns = [
    path("", pages.home),
    path("playground", RedirectView.as_view(url="/")),
    path("playground/", RedirectView.as_view(url="/")),
    path("playground/assets/<str:digest>/<path:name>", assets.asset),
    path("playground/enter", entering.enter),
    path("playground/leave", entering.leave),
    path("playground/tenants", entering.tenants),
    path("playground/tenants/<str:tenant_id>/enter", entering.enter_tenant),
    *[path(prefix, include(api)) for prefix in API_PREFIXES],
    path("health", health.health),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", scraping.metrics),
    path("openapi.json", SpectacularJSONAPIView.as_view(authentication_classes=[]), name="openapi"),
    path("docs", SpectacularSwaggerView.as_view(authentication_classes=[], url_name="openapi")),
    path("docs/", RedirectView.as_view(url="/docs")),
    path("admin/", admin.site.urls),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("favicon.ico", RedirectView.as_view(url=static("holdfast/mark.svg"))),
]
if settings.DEMO_MODEL:
    urlpatterns.append(path("demo/v1/", include("assistant_site.demo.urls")))

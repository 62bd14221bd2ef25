"""Every setting, read from the environment through `environment`; docs/configuration.md describes them."""

import hashlib
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url

from assistant_site import environment as env
from assistant_site.secrets import kept_in
from sandbox.environment import default_directory

VERSION = "0.2.0.dev0"
BASE_DIR = env.PROJECT
VAR_DIR = env.path("HOLDFAST_VAR", default=BASE_DIR / "var")
DEBUG = env.flag("DEBUG", default=False)

HOST = env.text("HOST", default="127.0.0.1")
PORT = env.number("PORT", "APP_SERVER_PORT", default=8086, low=1, high=65535)
WEB_SERVER = env.choice("WEB_SERVER", default="daphne", of=("daphne", "uvicorn"))
# Several share the port; only uvicorn can.
WEB_PROCESSES = env.number("WEB_PROCESSES", default=1, low=1, high=64 if WEB_SERVER == "uvicorn" else 1)

_secrets = kept_in(VAR_DIR)
SECRET_KEY = env.text("SECRET_KEY", default=_secrets["secret_key"])
# Keys that were, while a new one is rolled out: what they signed is still taken.
SECRET_KEY_FALLBACKS = env.items("SECRET_KEY_FALLBACKS", default=[])
# The first key encrypts, all of them decrypt: put a new one in front to rotate.
ENCRYPTION_KEYS = env.items("ENCRYPTION_KEYS", default=[_secrets["encryption_key"]])
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", default=["*"])
# Behind a proxy that ends TLS and sets X-Forwarded-Proto, -Host and -For itself; else anybody could set them.
TRUST_PROXY_HEADERS = env.flag("TRUST_PROXY_HEADERS", default=False)
if TRUST_PROXY_HEADERS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True
CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS", default=[])

# False: requests need no token, and all speak for one tenant.
AUTH_ENABLED = env.flag("AUTH_ENABLED", "APP_AUTH_ENABLE", default=True)
# Whoever holds it operates the installation over REST. Empty: nobody does.
ADMIN_TOKEN = env.text("ADMIN_TOKEN", "APP_AUTH_ADMIN_TOKEN")
if ADMIN_TOKEN and not DEBUG:
    env.check_secret(ADMIN_TOKEN, "ADMIN_TOKEN", "APP_AUTH_ADMIN_TOKEN", least=16)
# Tokens that are taken as well, while a new one is rolled out.
ADMIN_TOKEN_FALLBACKS = env.items("ADMIN_TOKEN_FALLBACKS", default=[])
for _token in ADMIN_TOKEN_FALLBACKS:
    env.check_secret(_token, "ADMIN_TOKEN_FALLBACKS", least=16)

# Whoever holds it may ask for /metrics, as ADMIN_TOKEN may.
METRICS_TOKEN = env.text("METRICS_TOKEN")
if METRICS_TOKEN:
    env.check_secret(METRICS_TOKEN, "METRICS_TOKEN", least=16)

# Whether metrics tell what each tenant uses; by its id, of the two hundred that use most.
METRICS_PER_TENANT = env.flag("METRICS_PER_TENANT", default=False)

# Whoever opens the page at / with it is given a token of the first tenant. Empty: nobody is.
PLAYGROUND_KEY = env.text("PLAYGROUND_KEY")
if PLAYGROUND_KEY:
    env.check_secret(PLAYGROUND_KEY, "PLAYGROUND_KEY", least=20)

# Whether staff with the right to see content are shown any in the admin.
ADMIN_SHOWS_CONTENT = env.flag("ADMIN_SHOWS_CONTENT", default=True)

# --- PostgreSQL and Valkey -------------------------------------------------------------------------------------------


def _socket_dir() -> Path:
    """Where the embedded servers' sockets are: a socket's path has at most 107 characters, a folder's may have more."""
    near = VAR_DIR / "run"
    if len(str(near)) < 80:
        return near
    return Path(tempfile.gettempdir()) / f"holdfast-{hashlib.sha256(str(VAR_DIR).encode()).hexdigest()[:12]}"


EMBEDDED_SOCKET_DIR = _socket_dir()
EMBEDDED_DATABASE_PASSWORD = _secrets["database_password"]
DATABASE_URL = env.url("DATABASE_URL", schemes=("postgres", "postgresql"))
REDIS_URL = env.url("REDIS_URL", "VALKEY_URL", schemes=("redis", "rediss", "valkey", "unix"))
EMBEDDED_DATABASE = not DATABASE_URL
EMBEDDED_VALKEY = not REDIS_URL

if EMBEDDED_DATABASE:
    _database: dict[str, object] = {
        "HOST": str(EMBEDDED_SOCKET_DIR),
        "NAME": "holdfast",
        "USER": "holdfast",
        "PASSWORD": EMBEDDED_DATABASE_PASSWORD,
    }
else:
    _database = dict(dj_database_url.parse(DATABASE_URL))
_options = _database.setdefault("OPTIONS", {})
assert isinstance(_options, dict)
# A server that vanished without a word is given up after some seconds, not after hours.
for _name, _value in {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}.items():
    _options.setdefault(_name, _value)
DATABASES = {
    "default": _database
    | {
        "ENGINE": "assistant_site.db.postgresql",
        # Each of our threads keeps its own connection; there is a fixed number of threads (docs/adr/0001).
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
VALKEY_URL = REDIS_URL.replace("valkey://", "redis://") or f"unix://{EMBEDDED_SOCKET_DIR}/valkey.sock"

# --- The model behind the runs ---------------------------------------------------------------------------------------

OPENAI_API_KEY = env.text("OPENAI_API_KEY")
OPENAI_BASE_URL = env.url("OPENAI_BASE_URL", "OPENAI_API_BASE")
if OPENAI_API_KEY and not OPENAI_BASE_URL:
    OPENAI_BASE_URL = "https://api.openai.com/v1"
# Without a provider the demo model answers; it is also there when asked for.
DEMO_MODEL = env.flag("DEMO_MODEL", default=not OPENAI_BASE_URL)
_demo_host = "127.0.0.1" if HOST in ("0.0.0.0", "::") else f"[{HOST}]" if ":" in HOST else HOST  # noqa: S104
DEMO_BASE_URL = env.url("DEMO_BASE_URL", default=f"http://{_demo_host}:{PORT}/demo/v1")
if DEMO_MODEL and "*" not in ALLOWED_HOSTS:
    ALLOWED_HOSTS.append(urlsplit(DEMO_BASE_URL).hostname or "")  # by this name workers ask it
LLM_CONNECT_SECONDS = env.number("LLM_CONNECT_SECONDS", default=10, low=1)
LLM_SILENCE_SECONDS = env.number("LLM_SILENCE_SECONDS", default=180, low=5)
LLM_RETRIES = env.number("LLM_RETRIES", default=2, high=10)
CONTEXT_WINDOW_TOKENS = env.number("CONTEXT_WINDOW_TOKENS", default=32_000, low=1_000)

# --- File search -----------------------------------------------------------------------------------------------------

# Empty: the tenant's provider embeds. EMBEDDING_MODEL `off`: search by words only.
EMBEDDING_BASE_URL = env.url("EMBEDDING_BASE_URL")
EMBEDDING_API_KEY = env.text("EMBEDDING_API_KEY")
EMBEDDING_MODEL = env.text("EMBEDDING_MODEL")
EMBEDDING_DIMENSIONS = env.number("EMBEDDING_DIMENSIONS", default=0, high=4_000)
# What some models want before a query and before a passage, such as `query:` and `passage:`.
EMBEDDING_QUERY_PREFIX = env.text("EMBEDDING_QUERY_PREFIX")
EMBEDDING_PASSAGE_PREFIX = env.text("EMBEDDING_PASSAGE_PREFIX")
RERANK_BASE_URL = env.url("RERANK_BASE_URL")
RERANK_API_KEY = env.text("RERANK_API_KEY")
RERANK_MODEL = env.text("RERANK_MODEL")
VECTOR_INDEX_MEMORY_MB = env.number("VECTOR_INDEX_MEMORY_MB", default=1_024, low=64)

# --- Ingestion of files into vector stores ---------------------------------------------------------------------------

INGESTION_PROCESSES = env.number("INGESTION_PROCESSES", default=1, low=1, high=64)
# Files that one process works on at once: the reading itself happens in child processes.
INGESTION_THREADS = env.number("INGESTION_THREADS", default=2, low=1, high=64)
INGESTION_LEASE_SECONDS = env.number("INGESTION_LEASE_SECONDS", default=30, low=3)
IMAGE_TEXT = env.choice("IMAGE_TEXT", default="ocr", of=("ocr", "vision", "off"))
OCR_LANGUAGES = env.text("OCR_LANGUAGES", default="eng+chi_sim+jpn")
VISION_MODEL = env.text("VISION_MODEL", default="gpt-4o-mini")
TRANSCRIPTION_MODEL = env.text("TRANSCRIPTION_MODEL", default="whisper-1")

# --- Runs ------------------------------------------------------------------------------------------------------------

RUN_SECONDS = env.number("RUN_SECONDS", default=600, low=1)
RUN_TURNS = env.number("RUN_TURNS", "LLM_MAX_STEP", default=25, low=1)
BUDGET_COMPLETION_TOKENS = env.number("BUDGET_COMPLETION_TOKENS", default=4_096, low=16)
RUN_LEASE_SECONDS = env.number("RUN_LEASE_SECONDS", default=30, low=3)
RUN_ATTEMPTS = env.number("RUN_ATTEMPTS", default=3, low=1)
RUNS_PER_WORKER = env.number("RUNS_PER_WORKER", default=512, low=1)
WORKER_PROCESSES = env.number("WORKER_PROCESSES", default=1, low=1, high=64)
# How long a worker that is stopped lets its runs go on before it hands them back.
WORKER_DRAIN_SECONDS = env.number("WORKER_DRAIN_SECONDS", default=5, low=0, high=600)
# After so many runs a worker process drains and is replaced; 0: never.
WORKER_RECYCLE_RUNS = env.number("WORKER_RECYCLE_RUNS", default=0)
# Searches that one process carries out at once; each may wait for an embedding provider.
SEARCH_THREADS = env.number("SEARCH_THREADS", default=4, low=1, high=128)
WORKER_DATABASE_THREADS = env.number("WORKER_DATABASE_THREADS", default=8, low=1, high=128)
WHEN_BUSY_SECONDS = env.number("WHEN_BUSY_SECONDS", default=RUN_SECONDS, low=1)
POLL_AFTER_MS = env.number("POLL_AFTER_MS", default=250, low=1)
# For the admin's run inspector; 0: none are kept, it rebuilds them from the rows.
KEEP_PROMPTS_HOURS = env.number("KEEP_PROMPTS_HOURS", default=0, high=24 * 365)
STREAM_KEEP_ALIVE = env.flag("STREAM_KEEP_ALIVE", default=False)
STREAM_KEPT_SECONDS = env.number("STREAM_KEPT_SECONDS", default=900, low=1)

# --- The code interpreter (docs/code-interpreter.md) -----------------------------------------------------------------

CODE_INTERPRETER = env.choice("CODE_INTERPRETER", default="auto", of=("auto", "off"))
_sandboxes = env.urls("SANDBOX_URLS", default=[], schemes=("unix", "http", "https"))
# `manage.py up` runs one of its own, unless others are named.
SANDBOX_SOCKET = EMBEDDED_SOCKET_DIR / "sandbox.sock"
SANDBOX_URLS = _sandboxes or [f"unix://{SANDBOX_SOCKET}"]
EMBEDDED_SANDBOX = CODE_INTERPRETER == "auto" and not _sandboxes
SANDBOX_TOKEN = env.text("SANDBOX_TOKEN")
SANDBOX_DIR = env.path("SANDBOX_DIR", default=default_directory(VAR_DIR))
SANDBOX_POOL = env.number("SANDBOX_POOL", default=2, high=64)
SANDBOX_SESSIONS = env.number("SANDBOX_SESSIONS", default=0, high=4_000)  # 0: as many as the memory is for
SANDBOX_IDLE_MINUTES = env.number("SANDBOX_IDLE_MINUTES", default=20, low=1)
SANDBOX_AGE_MINUTES = env.number("SANDBOX_AGE_MINUTES", default=60, low=1)
# What one session may use; a tenant may be given less.
CODE_SECONDS = env.number("CODE_SECONDS", default=120, low=1, high=3_600)
CODE_MEMORY_MB = env.number("CODE_MEMORY_MB", default=1_024, low=256)
CODE_DATA_MB = env.number("CODE_DATA_MB", default=512, low=16)
CODE_SESSIONS_PER_TENANT = env.number("CODE_SESSIONS_PER_TENANT", default=4, low=1)
# Of one execution's output, what the model is shown.
CODE_OUTPUT_KB = env.number("CODE_OUTPUT_KB", default=32, low=1, high=1_024)
# Of a thread's files, what outlives its session.
CODE_KEPT_MB = env.number("CODE_KEPT_MB", default=512)

# --- R2R (vector_stores.r2r) -----------------------------------------------------------------------------------------

# Open Assistant API chose by this between plain files and R2R, and its example settings named an R2R in either case.
FILE_SERVICE_MODULE = env.text("FILE_SERVICE_MODULE")
R2R_BASE_URL = env.url("R2R_BASE_URL")
if FILE_SERVICE_MODULE and "r2r" not in FILE_SERVICE_MODULE.lower():
    R2R_BASE_URL = ""
R2R_USERNAME = env.text("R2R_USERNAME")
R2R_PASSWORD = env.text("R2R_PASSWORD")
R2R_SEARCH_LIMIT = env.number("R2R_SEARCH_LIMIT", default=10, low=1, high=1000)
R2R_PARSE = env.choice("R2R_PARSE", default="passages", of=("passages", "native"))
R2R_HYBRID_SEARCH = env.flag("R2R_HYBRID_SEARCH", default=False)

# --- Tools ----------------------------------------------------------------------------------------------------------

ACTIONS_FOR_EVERYONE = env.flag("ACTIONS_FOR_EVERYONE", default=False)
ACTIONS_PER_DOCUMENT = env.number("ACTIONS_PER_DOCUMENT", default=2_000, low=1)
TOOL_CALLS_PER_TENANT = env.number("TOOL_CALLS_PER_TENANT", default=128, low=8)
TOOL_SECONDS = env.number("TOOL_SECONDS", "TOOL_WORKER_EXECUTION_TIMEOUT", default=180, low=1, high=3600)

# --- Web search (docs/web-search.md) ---------------------------------------------------------------------------------

# Empty: all that have a key or an address.
WEB_SEARCH = env.choices("WEB_SEARCH", default=[], of=("searxng", "tavily", "brave", "serper", "exa"), alone="off")
SEARXNG_URL = env.url("SEARXNG_URL")
TAVILY_API_KEY = env.text("TAVILY_API_KEY")
TAVILY_BASE_URL = env.url("TAVILY_BASE_URL", default="https://api.tavily.com")
BRAVE_API_KEY = env.text("BRAVE_API_KEY")
BRAVE_BASE_URL = env.url("BRAVE_BASE_URL", default="https://api.search.brave.com")
SERPER_API_KEY = env.text("SERPER_API_KEY")
SERPER_BASE_URL = env.url("SERPER_BASE_URL", default="https://google.serper.dev")
EXA_API_KEY = env.text("EXA_API_KEY")
EXA_BASE_URL = env.url("EXA_BASE_URL", default="https://api.exa.ai")
WEB_SEARCH_MOST_RESULTS = 10
WEB_SEARCH_NUM_RESULTS = min(env.number("WEB_SEARCH_NUM_RESULTS", default=5, low=1), WEB_SEARCH_MOST_RESULTS)
WEB_SEARCH_READ_PAGES = env.number("WEB_SEARCH_READ_PAGES", default=2, high=5)
WEB_SEARCH_CACHE_SECONDS = env.number("WEB_SEARCH_CACHE_SECONDS", default=600)
# Read only to say that the service is gone.
BING_SUBSCRIPTION_KEY = env.text("BING_SUBSCRIPTION_KEY")
BING_SEARCH_URL = env.text("BING_SEARCH_URL")

# --- What is fetched for callers -------------------------------------------------------------------------------------

FETCH_ALLOWED_HOSTS = env.hosts("FETCH_ALLOWED_HOSTS", default=[])
MCP_LIST_SECONDS = env.number("MCP_LIST_SECONDS", default=300, low=1)

# --- The wire --------------------------------------------------------------------------------------------------------

REQUIRE_BETA_HEADER = env.flag("REQUIRE_BETA_HEADER", default=False)
MAX_BODY_BYTES = env.number("MAX_BODY_MB", default=32, low=1) * 1024 * 1024
WEB_THREADS = env.number("WEB_THREADS", default=12, low=1, high=256)
# How long a web process that is stopped lets answers under way, streams above all, come to their end.
WEB_DRAIN_SECONDS = env.number("WEB_DRAIN_SECONDS", default=5, low=0, high=3_600)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# --- Files -----------------------------------------------------------------------------------------------------------

FILES_DIR = env.path("FILES_DIR", default=VAR_DIR / "files")
FILES_DOWNLOAD = env.flag("FILES_DOWNLOAD", default=True)
MAX_FILE_BYTES = env.number("MAX_FILE_MB", default=512, low=1, high=8192) * 1024 * 1024
MAX_PART_BYTES = 64 * 1024 * 1024
BODIES_DIR = VAR_DIR / "bodies"  # where large request bodies wait; /tmp may be memory
S3_BUCKET_NAME = env.text("S3_BUCKET_NAME")
S3_ENDPOINT = env.url("S3_ENDPOINT", "S3_ENDPOINT_URL")
S3_ACCESS_KEY = env.text("S3_ACCESS_KEY")
S3_SECRET_KEY = env.text("S3_SECRET_KEY")
S3_REGION = env.text("S3_REGION")
# Where clients reach the bucket, if not at S3_ENDPOINT; for how long a download's address is signed (0: not at all).
S3_PUBLIC_ENDPOINT = env.url("S3_PUBLIC_ENDPOINT")
S3_SIGNED_DOWNLOADS_SECONDS = env.number("S3_SIGNED_DOWNLOADS_SECONDS", default=0, high=7 * 24 * 3600)
FILES_STORAGE = env.choice("FILES_STORAGE", default="s3" if S3_BUCKET_NAME else "local", of=("local", "s3"))
FILES_MOVING = env.flag("FILES_MOVING", default=False)
if not S3_BUCKET_NAME and (FILES_STORAGE == "s3" or FILES_MOVING):
    raise SystemExit(
        "Holdfast cannot start: FILES_STORAGE=s3 and FILES_MOVING need a bucket. Set S3_BUCKET_NAME, or leave them out."
    )
# The two storages by their names; "blobs" is what files are read from and written to (`files.storage`).
STORAGES: dict[str, dict[str, object]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "local": {"BACKEND": "files.local.LocalBlobs", "OPTIONS": {"location": FILES_DIR}},
}
if S3_BUCKET_NAME:
    STORAGES["s3"] = {
        "BACKEND": "files.s3.S3Blobs",
        "OPTIONS": {
            "bucket_name": S3_BUCKET_NAME,
            "endpoint_url": S3_ENDPOINT or None,
            "access_key": S3_ACCESS_KEY or None,
            "secret_key": S3_SECRET_KEY or None,
            "region_name": S3_REGION or None,
            "public_endpoint": S3_PUBLIC_ENDPOINT or None,
        },
    }
if FILES_MOVING:
    _other = "local" if FILES_STORAGE == "s3" else "s3"
    STORAGES["blobs"] = {"BACKEND": "files.both.BothBlobs", "OPTIONS": {"first": FILES_STORAGE, "other": _other}}
else:
    STORAGES["blobs"] = STORAGES[FILES_STORAGE]

# --- Django ----------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv else []),  # for that command only: it loads all of Twisted
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "assistant_site.apps.LazyAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "assistant_site",
    "django_q",  # behind assistant_site, which has a `qcluster` of its own
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "audit",
    "tenants",
    "metering",
    "files",
    "vector_stores",
    "assistants",
    "threads",
    "tools",
    "runs",
    "erasure",
]
MIDDLEWARE = [
    "assistant_site.wire.headers.WireHeadersMiddleware",
    "assistant_site.db.middleware.ClosedMiddleware",
    "audit.middleware.ActorMiddleware",
    "assistant_site.branching.ApiMiddleware",  # what follows is for pages
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "audit.middleware.StaffMiddleware",
    "assistant_site.db.middleware.StaffMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
API_MIDDLEWARE = [
    "assistant_site.branching.HostMiddleware",
    "assistant_site.idempotency.IdempotencyMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "assistant_site.urls"
ASGI_APPLICATION = "assistant_site.asgi.application"
APPEND_SLASH = False
LOGIN_REDIRECT_URL = "admin:index"  # of who opens /admin/login/ itself
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": VALKEY_URL}}

# The admin's look; what stands in its sidebar is `operating.navigation`.
UNFOLD = {
    "SITE_TITLE": "Holdfast",
    "SITE_HEADER": "Holdfast",
    "SITE_SUBHEADER": "Assistants, on your own machine",
    "SITE_URL": "/",
    "SITE_ICON": "assistant_site.operating.navigation.mark",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/favicon.ico"}],
    "LOGIN": {"form": "assistant_site.operating.entrance.LoginForm"},
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["assistant_site.operating.navigation.styles"],
    "SCRIPTS": ["assistant_site.operating.navigation.script"],
    "DASHBOARD_CALLBACK": "assistant_site.operating.dashboard.shown_to",
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            "50": "#effaf6",
            "100": "#d6f2e8",
            "200": "#aee4d2",
            "300": "#7aceb6",
            "400": "#47b196",
            "500": "#27957b",
            "600": "#1a7763",
            "700": "#175f51",
            "800": "#154c42",
            "900": "#12473d",
            "950": "#06241f",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "assistant_site.operating.navigation.sidebar",
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.auth.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["assistant_site.wire.rendering.JSONBodyParser"],
    "DEFAULT_RENDERER_CLASSES": ["assistant_site.wire.rendering.WireJSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "assistant_site.wire.schema.WireSchema",
    "EXCEPTION_HANDLER": "assistant_site.wire.rest.handle_exception",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Holdfast",
    "DESCRIPTION": "The OpenAI Assistants API v2 on your own machine.",
    "VERSION": VERSION,
    "PREPROCESSING_HOOKS": ["assistant_site.wire.schema.one_prefix"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "assistant_site.wire.schema.with_errors",
    ],
    "GET_LIB_DOC_EXCLUDES": "assistant_site.wire.schema.classes_without_documentation",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}

# django-q2's tasks only hand ids over (docs/architecture.md); assistant_site.cluster carries them out.
Q_CLUSTER = {
    "name": "holdfast",
    "broker_class": "runs.broker.ValkeyBroker",
    "log_level": "WARNING",
    "label": "Tasks",
    # These two concern django-q2's own cluster, which we do not run; without them it warns.
    "timeout": 60,
    "retry": 61,
    # Files are ingested by processes of their own, so that a thousand of them never delay an answer.
    "ALT_CLUSTERS": {"ingestion": {}},
}

# Traces; the names are OpenTelemetry's. The address of one collector, up to and with /v1/traces; empty: none.
OTEL_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
if not OTEL_ENDPOINT and (_collector := env.url("OTEL_EXPORTER_OTLP_ENDPOINT")):
    OTEL_ENDPOINT = f"{_collector}/v1/traces"
OTEL_HEADERS = env.items("OTEL_EXPORTER_OTLP_HEADERS", default=[])
OTEL_SERVICE_NAME = env.text("OTEL_SERVICE_NAME")
OTEL_RESOURCE_ATTRIBUTES = env.items("OTEL_RESOURCE_ATTRIBUTES", default=[])
OTEL_TRACES_SAMPLER = env.choice(
    "OTEL_TRACES_SAMPLER",
    default="parentbased_always_on",
    of=(
        *("always_on", "always_off", "traceidratio"),
        *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
    ),
)
OTEL_TRACES_SAMPLER_ARG = env.text("OTEL_TRACES_SAMPLER_ARG")
TRACES_TRUST_CALLERS = env.flag("TRACES_TRUST_CALLERS", default=False)

SENTRY_DSN = env.url("SENTRY_DSN")
SENTRY_ENVIRONMENT = env.text("SENTRY_ENVIRONMENT", default="production")

ACCESS_LOG = env.flag("ACCESS_LOG", default=False)
LOG_FORMAT = env.choice("LOG_FORMAT", default="line", of=("line", "json"))
LOG_LEVEL = env.choice("LOG_LEVEL", default="info", of=("debug", "info", "warning", "error")).upper()
OWN_LOGGERS = [app.partition(".")[0] for app in INSTALLED_APPS if (BASE_DIR / app.partition(".")[0]).is_dir()]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "assistant_site.logs.LineFormatter"},
        "json": {"()": "assistant_site.logs.JSONFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "stream": sys.stderr}},
    # Libraries tell what passes through them when they are asked to tell everything; only our own code is.
    "root": {"handlers": ["console"], "level": "INFO" if LOG_LEVEL == "DEBUG" else LOG_LEVEL},
    "loggers": {
        **{app: {"level": LOG_LEVEL} for app in OWN_LOGGERS},
        # The wire's own 4xx answers are the caller's business, not a warning for the operator.
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "uvicorn": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "httpcore2": {"level": "WARNING"},
        "openai": {"level": "WARNING"},
        # What the protocol's client says of failures has the servers' answers and addresses in it; we tell them.
        "mcp": {"level": "CRITICAL"},
        "client": {"level": "CRITICAL"},
        "django-q": {"level": "WARNING", "handlers": ["console"], "propagate": False},
    },
}

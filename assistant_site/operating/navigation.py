"""What stands in the admin's sidebar, and its own files."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

# Group by group: the title, the model whose list it opens, and a symbol.
GROUPS: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "Customers",
        [
            ("Tenants", "tenants.tenant", "apartment"),
            ("API tokens", "tenants.apitoken", "key"),
            ("End users", "tenants.enduser", "groups"),
        ],
    ),
    (
        "Work",
        [
            ("Runs", "runs.run", "play_circle"),
            ("Threads", "threads.thread", "forum"),
            ("Messages", "threads.message", "chat_bubble"),
            ("Assistants", "assistants.assistant", "smart_toy"),
        ],
    ),
    (
        "Models",
        [
            ("Providers", "tenants.provider", "dns"),
            ("Aliases", "tenants.modelalias", "alt_route"),
            ("Profiles", "tenants.modelprofile", "tune"),
            ("Prices", "metering.price", "sell"),
        ],
    ),
    (
        "Money",
        [
            ("Budgets", "metering.budget", "savings"),
            ("Usage", "metering.usageday", "bar_chart"),
            ("Ledger", "metering.ledgerentry", "receipt_long"),
        ],
    ),
    (
        "Data",
        [
            ("Files", "files.file", "description"),
            ("Uploads", "files.upload", "upload"),
            ("Vector stores", "vector_stores.vectorstore", "database"),
            ("Files in stores", "vector_stores.storefile", "inventory_2"),
            ("Retrieval servers", "vector_stores.retrievalserver", "travel_explore"),
        ],
    ),
    (
        "Tools",
        [
            ("Actions", "tools.action", "bolt"),
            ("MCP servers", "tools.mcpserver", "hub"),
            ("Search keys", "tools.searchkey", "search"),
            ("Code sessions", "tools.codespace", "terminal"),
            ("Code files", "tools.codefile", "draft"),
        ],
    ),
    ("Log", [("Audit log", "audit.auditentry", "history")]),
    ("Staff", [("Users", "auth.user", "person"), ("Roles", "auth.group", "badge")]),
]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups, each with the lists that this user may see."""
    shown: list[dict[str, Any]] = [
        {
            "items": [
                {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")},
                {"title": "Playground", "icon": "forum", "link": "/"},
            ]
        }
    ]
    for title, models in GROUPS:
        items = []
        for name, model, icon in models:
            app, low = model.split(".")
            if request.user.has_perm(f"{app}.view_{low}") or request.user.has_perm(f"{app}.change_{low}"):
                items.append({"title": name, "icon": icon, "link": reverse(f"admin:{app}_{low}_changelist")})
        if items:
            shown.append({"title": title, "collapsible": False, "items": items})
    return shown


def mark(request: HttpRequest) -> str:
    return static("holdfast/mark.svg")


def styles(request: HttpRequest) -> str:
    return static("holdfast/admin.css")


def script(request: HttpRequest) -> str:
    return static("holdfast/admin.js")

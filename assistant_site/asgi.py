"""The ASGI application: HTTP through our handler, WebSockets through Channels."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assistant_site.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.urls import get_resolver  # noqa: E402

from assistant_site.handler import Handler  # noqa: E402
from assistant_site.tuning import settle  # noqa: E402
from assistant_site.watched import begin  # noqa: E402
from runs.routing import websockets  # noqa: E402

handler = Handler()
application = ProtocolTypeRouter({"http": handler, "websocket": websockets(handler.call)})
if "daphne.server" in sys.modules:
    from assistant_site.bounds import bound

    bound()
get_resolver().url_patterns  # noqa: B018 loads every view now, not at the first request
settle()
begin("web")

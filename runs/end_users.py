"""`/end_users`: the tenants' own customers, with what was made for them. It counts runs, so it lives with them."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire.errors import NotFound
from assistant_site.wire.lists import PageQuery, page
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rest import WireView
from runs.models import Run
from tenants import actions, deletion, end_users
from tenants.models import EndUser, Tenant
from tenants.serializers import (
    EndUserDetailSerializer,
    EndUserObjectSerializer,
    ModifyEndUserRequestSerializer,
    as_columns,
)
from threads.models import Thread


def end_user_object(tenant: Tenant, end_user: EndUser) -> dict[str, Any]:
    """The end user with what was made for it and is still there."""
    threads = Thread.objects.of(tenant).filter(end_user=end_user.name)
    runs = Run.objects.of(tenant).filter(end_user=end_user.name)
    newest = [made.order_by("-pk").values_list("created_at", flat=True).first() for made in (threads, runs)]
    seen: list[datetime] = [moment for moment in newest if moment is not None]
    return EndUserObjectSerializer.of(end_user) | {
        "threads": threads.count(),
        "runs": runs.count(),
        "last_seen_at": int(max(seen).timestamp()) if seen else None,
    }


class EndUserListView(WireView):
    resource = "end_users"
    operation_ids = {"GET": "listEndUsers"}

    @extend_schema(parameters=page_parameters(), responses=list_of(EndUserObjectSerializer))
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        return Response(page(EndUser.objects.of(self.tenant), query, EndUserObjectSerializer.of))


class EndUserDetailView(WireView):
    """By the name that the tenant gave it."""

    resource = "end_users"
    operation_ids = {"GET": "getEndUser", "POST": "modifyEndUser", "DELETE": "eraseEndUser"}

    @extend_schema(responses=EndUserDetailSerializer)
    def get(self, request: Request, name: str) -> Response:
        end_user = EndUser.objects.of(self.tenant).filter(name=name).first()
        if end_user is None:
            raise NotFound.of("end user", name)
        return Response(end_user_object(self.tenant, end_user))

    @extend_schema(request=ModifyEndUserRequestSerializer, responses=EndUserDetailSerializer)
    def post(self, request: Request, name: str) -> Response:
        """Sets limits, blocks or unblocks. The end user need not have been named before."""
        end_users.check_name(name)
        changes = as_columns(self.parse(ModifyEndUserRequestSerializer, partial=True))
        if "blocked" in changes:
            changes["blocked_at"] = timezone.now() if changes.pop("blocked") else None
        end_user = actions.change_end_user(self.tenant, name, changes)
        return Response(end_user_object(self.tenant, end_user))

    @extend_schema(
        description="An extension: deletes the end user's threads with all that hangs on them, and its files that "
        "nobody else uses; usage keeps its numbers without the name. What is much goes on in the background.",
        request=None,
        responses=DeletedSerializer,
    )
    def delete(self, request: Request, name: str) -> Response:
        deletion.erase_end_user(self.tenant, name)
        return Response({"id": name, "object": "end_user.deleted", "deleted": True})

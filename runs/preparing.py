"""What a model turn needs from the database, in one visit."""

import logging
from dataclasses import dataclass

from assistant_site.llm.chat import ChatRequest, ModelFailed
from metering import budgets
from runs import brought, context, serving
from runs.brought import Brought
from runs.images import are_fetched
from runs.models import Run
from runs.windows import profile_for
from tenants import reach
from tenants.encryption import Undecryptable
from tenants.routes import Profile, Route, routes_for
from tools.code_interpreter import kept
from tools.registry import Offered

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Whom to ask for what, the tools behind the request, and what the answer may cite, show and link to."""

    routes: list[Route]  # in their order; at least one
    request: ChatRequest  # by the model's name as the run has it; each route has its own
    offered: list[Offered]
    brought: Brought
    profile: Profile  # what is known of the model, its window in any case
    code_links: frozenset[str] = frozenset()  # names of the code's files, to which it may link
    allowed_hosts: tuple[str, ...] = ()  # where its images may be fetched from though it is not public
    has_budgets: bool = False  # whether its tenant has any


def prepare(run: Run) -> Prepared:
    """For the run's next turn. Raises `ModelFailed` if nobody can be asked."""
    offering = serving.offering_of(run)
    tools = offering.tools
    profile = profile_for(run)
    request = ChatRequest(
        model=run.model,
        messages=context.build(run, tools, offering.notes, profile),
        tools=[tool.chat for tool in tools],
        options=context.options_of(run, tools, profile),
    )
    links: frozenset[str] = frozenset()
    if serving.links_to_code(tools):
        links = kept.names_of(run.tenant_id, run.thread_id)
    routes = routes_of(run)
    fetched = any(are_fetched(route.endpoint, request) for route in routes)
    allowed_hosts = reach.allowed_for(run.tenant_id) if fetched else ()
    has_budgets = budgets.has_budgets(run.tenant_id)
    return Prepared(routes, request, tools, brought.by(run), profile, links, allowed_hosts, has_budgets)


def routes_of(run: Run) -> list[Route]:
    try:
        found = routes_for(run.tenant_id, run.token_id, run.model)
    except Undecryptable as error:
        logger.error("%s: %s", run.pk, error)
        raise ModelFailed("server_error", "The credential of the model provider cannot be read.") from None
    if not found:
        raise ModelFailed("server_error", f"The model '{run.model}' does not exist: no provider has it.")
    return found

"""What a model turn needs from the database, in one visit."""

import logging
from dataclasses import dataclass

from assistant_site.llm.chat import ChatRequest, Endpoint, ModelFailed
from runs import brought, context, serving
from runs.brought import Brought
from runs.images import are_fetched
from runs.models import Run
from tenants import providers, reach
from tenants.encryption import Undecryptable
from tools.code_interpreter import kept
from tools.registry import Offered

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Whom to ask for what, the tools behind the request, and what the answer may cite, show and link to."""

    endpoint: Endpoint
    request: ChatRequest
    offered: list[Offered]
    brought: Brought
    code_links: frozenset[str] = frozenset()  # names of the code's files, to which it may link
    allowed_hosts: tuple[str, ...] = ()  # where its images may be fetched from though it is not public


def prepare(run: Run) -> Prepared:
    """For the run's next turn. Raises `ModelFailed` if its provider cannot be asked."""
    offering = serving.offering_of(run)
    tools = offering.tools
    request = ChatRequest(
        model=run.model,
        messages=context.build(run, tools, offering.notes),
        tools=[tool.chat for tool in tools],
        options=context.options_of(run, tools),
    )
    links: frozenset[str] = frozenset()
    if serving.links_to_code(tools):
        links = kept.names_of(run.tenant_id, run.thread_id)
    try:
        endpoint = providers.endpoint_for(run.tenant_id)
    except Undecryptable as error:
        logger.error("%s: %s", run.pk, error)
        raise ModelFailed("server_error", "The credential of the model provider cannot be read.") from None
    allowed_hosts = reach.allowed_for(run.tenant_id) if are_fetched(endpoint, request) else ()
    return Prepared(endpoint, request, tools, brought.by(run), links, allowed_hosts)

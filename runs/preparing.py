"""What a model turn needs from the database, in one visit."""

import logging
from dataclasses import dataclass

from assistant_site.llm.chat import ChatRequest, Endpoint, ModelFailed
from runs import context, serving
from runs.models import Run
from tenants import providers
from tenants.encryption import Undecryptable
from tools.citations import Place, Source
from tools.code_interpreter import kept
from tools.registry import Offered, offered

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Whom to ask for what, the tools behind the request, and what the answer may cite."""

    endpoint: Endpoint
    request: ChatRequest
    offered: list[Offered]
    sources: dict[Place, Source]
    links: frozenset[str] = frozenset()  # names of files that it may link to
    images: tuple[str, ...] = ()  # files that its next message shows


def prepare(run: Run) -> Prepared:
    """For the run's next turn. Raises `ModelFailed` if its provider cannot be asked."""
    tools = offered(run.tools, lambda tool: tool.brief(run.tenant_id, run.thread_id, run.code_files))
    request = ChatRequest(
        model=run.model,
        messages=context.build(run, tools),
        tools=[tool.chat for tool in tools],
        options=context.options_of(run, tools),
    )
    sources = serving.sources_of(run) if serving.gives_sources(tools) else {}
    links: frozenset[str] = frozenset()
    images: tuple[str, ...] = ()
    if serving.runs_code(tools):
        links, images = kept.names_of(run.tenant_id, run.thread_id), serving.images_of(run)
    try:
        return Prepared(providers.endpoint_for(run.tenant_id), request, tools, sources, links, images)
    except Undecryptable as error:
        logger.error("%s: %s", run.pk, error)
        raise ModelFailed("server_error", "The credential of the model provider cannot be read.") from None

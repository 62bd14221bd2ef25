"""Which model servers are asked for a tenant, in which order, and under which name of the model.

Whose providers serve a request: those of the token that came with it; else the tenant's that are enabled; else the
shared ones; else the environment's (OPENAI_BASE_URL, or the demo model). The first of these that exist serve alone, so
that nobody's key is spent for what another's is there for. A token's own provider counts even while it is disabled:
its calls then fail rather than be paid by somebody else.

Of these are asked, in this order: lower priorities first; among equals at random, by weight; and last, in the same
order, those that have just failed (`tenants.health`). Who is asked when the first one fails is the caller's matter.

All that this needs of a tenant is read with one query and kept for half a second, so changes are seen within a second.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from assistant_site.db.prepared import Prepared
from assistant_site.llm.chat import Endpoint
from assistant_site.recent import Recent
from tenants import encryption, health
from tenants.encryption import Undecryptable
from tenants.models import ModelAlias, ModelProfile, Provider
from tenants.patterns import matches

KEPT_SECONDS = 0.5
OFF = "off"


@dataclass(frozen=True)
class Route:
    """A model server to ask, and the model's name there. `provider_id` is empty for the environment's."""

    endpoint: Endpoint
    model: str
    provider_id: str = ""
    name: str = "environment"


@dataclass(frozen=True)
class Profile:
    """What is known of a model; None: nobody has said."""

    has_tools: bool | None = None
    has_vision: bool | None = None
    has_json_schema: bool | None = None
    context_window: int | None = None
    max_completion_tokens: int | None = None


_PROFILE_FIELDS = tuple(field.name for field in fields(Profile))


def from_environment() -> Endpoint:
    """OPENAI_BASE_URL with OPENAI_API_KEY, or the demo model when neither is set."""
    if settings.OPENAI_BASE_URL:
        return Endpoint(base_url=settings.OPENAI_BASE_URL, api_key=settings.OPENAI_API_KEY or "none")
    return Endpoint(base_url=settings.DEMO_BASE_URL, api_key="demo")


def endpoint_of(provider: Provider) -> Endpoint:
    """Where a provider is asked; `Undecryptable` if its key cannot be read."""
    return Endpoint(base_url=provider.base_url.rstrip("/"), api_key=provider.api_key or "none", quirks=provider.quirks)


@dataclass(frozen=True)
class Upstream:
    """A provider's row, as far as routing needs it."""

    id: str
    tenant_id: str | None
    token_id: str | None
    name: str
    is_enabled: bool
    model_names: list[str]
    priority: int
    weight: int
    base_url: str
    encrypted_key: str
    quirks: dict[str, str]
    embedding_model: str

    @cached_property
    def endpoint(self) -> Endpoint:
        key = encryption.decrypt(self.encrypted_key) if self.encrypted_key else "none"
        return Endpoint(base_url=self.base_url.rstrip("/"), api_key=key, quirks=self.quirks)

    def model_here(self, model: str) -> str | None:
        """Its name for the model; None if it is not asked for it.

        An entry of `model_names` is a pattern, or `name=name here`. A request that names no model is anybody's.
        """
        if not self.model_names or not model:
            return model
        for entry in self.model_names:
            pattern, _, here = entry.partition("=")
            if matches(pattern, model):
                return here or model
        return None

    def models_of_list(self, listed: list[str]) -> list[str]:
        """Under which names its models can be asked for, of those that it lists and those that it is said to have."""
        if not self.model_names:
            return listed
        said = [pattern for pattern in (e.partition("=")[0] for e in self.model_names) if "*" not in pattern]
        return list(dict.fromkeys([*said, *(name for name in listed if self.model_here(name) == name)]))

    def route(self, model: str) -> Route:
        return Route(self.endpoint, self.model_here(model) or model, self.id, self.name)


_UPSTREAM_FIELDS = tuple(field.name for field in fields(Upstream))


@dataclass(frozen=True)
class Directory:
    """What one tenant's requests find: its providers and the shared ones, names of models, and what models can do."""

    upstreams: list[Upstream]
    aliases: dict[str, str]
    profiles: list[dict[str, Any]]  # more particular ones first

    def upstream_name(self, model: str) -> str:
        """The providers' name for what a request calls so. An alias is followed once."""
        return self.aliases.get(model, model)

    def serving(self, token_id: str = "") -> list[Upstream] | None:
        """Whose providers serve, whatever the model; None: the environment's."""
        own = [each for each in self.upstreams if token_id and each.token_id == token_id]
        if own:
            return [each for each in own if each.is_enabled]
        others = [each for each in self.upstreams if each.token_id is None and each.is_enabled]
        return [each for each in others if each.tenant_id] or others or None

    def routes(self, model: str, token_id: str = "") -> list[Route]:
        """In the order in which they are to be asked; empty if nobody has the model.

        One whose key cannot be read is passed over; `Undecryptable` if there is no other.
        """
        theirs = self.upstream_name(model)
        serving = self.serving(token_id)
        if serving is None:
            return [Route(from_environment(), theirs)]
        having = [each for each in serving if each.model_here(theirs) is not None]
        if len(having) > 1:
            having.sort(key=lambda each: self._place(each, theirs))
        found: list[Route] = []
        unreadable: Undecryptable | None = None
        for each in having:
            try:
                found.append(each.route(theirs))
            except Undecryptable as error:
                unreadable = error
                health.failed(each.id, str(error))
        if unreadable is not None and not found:
            raise unreadable
        return found

    @staticmethod
    def _place(each: Upstream, theirs: str) -> tuple[bool, int, float]:
        """Sorted by this, one of weight 2 comes before one of weight 1 in two of three cases."""
        die = random.random()  # noqa: S311 spreads load
        return health.is_cooling(each.id, theirs), each.priority, -(die ** (1.0 / max(each.weight, 1)))

    def embedding_route(self) -> Route:
        """Who embeds the tenant's vector stores; the route's model is `off` for nobody, empty if none is named.

        Always the same one, as vectors of different models cannot be compared: the first that names its embedding
        model, else the first that says nothing of it. `Undecryptable` if its key cannot be read.
        """
        serving = self.serving()
        if serving is None:
            return Route(from_environment(), "")
        in_order = sorted(serving, key=lambda each: (each.priority, each.id))
        chosen = min(in_order, key=lambda each: (each.embedding_model == OFF, not each.embedding_model))
        return Route(chosen.endpoint, chosen.embedding_model, chosen.id, chosen.name)

    def profile(self, model: str) -> Profile:
        """What is known of what a request calls so, each field from the most particular row that says something."""
        theirs = self.upstream_name(model)
        fitting = [row for row in self.profiles if matches(row["model"], theirs)]
        known = {name: next((row[name] for row in fitting if row[name] is not None), None) for name in _PROFILE_FIELDS}
        return Profile(**known)


def routes_for(tenant_id: str, token_id: str, model: str) -> list[Route]:
    """Whom to ask for what a token of the tenant's calls `model`; see `Directory.routes`. Reads the database."""
    return directory_of(tenant_id).routes(model, token_id)


# --- Reading ---------------------------------------------------------------------------------------------------------

_TABLES = [model._meta.db_table for model in (Provider, ModelAlias, ModelProfile)]
# One question for three tables, and in a tenth of the time that it takes as a union of querysets.
QUESTION = " UNION ALL ".join(
    f"SELECT '{table}', to_jsonb(t)::text FROM {table} t WHERE tenant_id = %s OR tenant_id IS NULL"  # noqa: S608
    for table in _TABLES
)
"""What is asked for a tenant's directory, for whoever asks it together with something else; see `values_of`, `keep`."""

_ASKED = Prepared(QUESTION)
_kept: Recent[str, Directory] = Recent(KEPT_SECONDS)


def forget() -> None:
    """Makes this process read everything anew."""
    _kept.clear()


def directory_of(tenant_id: str) -> Directory:
    """The tenant's, at most half a second old."""
    return _kept.get(tenant_id) or _read(tenant_id)


def is_known(tenant_id: str) -> bool:
    """Whether nothing need be asked for the tenant's directory now."""
    return _kept.get(tenant_id) is not None


def _read(tenant_id: str) -> Directory:
    with connection.cursor() as cursor:
        cursor.execute(_ASKED, values_of(tenant_id))
        return keep(tenant_id, cursor.fetchall())


def values_of(tenant_id: str) -> list[str]:
    """What stands at the places of `QUESTION`."""
    return [tenant_id] * len(_TABLES)


def keep(tenant_id: str, answer: Iterable[tuple[str, str]]) -> Directory:
    """The directory that the answer to `QUESTION` makes, known from now on."""
    return _kept.put(tenant_id, _made_of(answer))


def _made_of(answer: Iterable[tuple[str, str]]) -> Directory:
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in _TABLES}
    for table, row in answer:
        rows[table].append(orjson.loads(row))
    upstreams, aliases, profiles = rows.values()
    aliases.sort(key=lambda row: row["tenant_id"] is not None)  # the tenant's own go over the shared ones
    return Directory(
        [Upstream(**{name: row[name] for name in _UPSTREAM_FIELDS}) for row in upstreams],
        {row["alias"]: row["model"] for row in aliases},
        sorted(profiles, key=_particularity),
    )


def _particularity(profile: dict[str, Any]) -> tuple[bool, bool, int]:
    """The tenant's own before shared ones; a name before patterns, longer patterns before shorter ones."""
    return profile["tenant_id"] is None, "*" in profile["model"], -len(profile["model"])

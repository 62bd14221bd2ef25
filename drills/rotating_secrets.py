"""Every secret that all processes share is changed while callers work, and nobody may notice: `make drill-secrets`.

    python -m drills.rotating_secrets [--callers 2] [--calm 5]

The way of docs/operations.md, in three rounds, each a restart of one process after the other: the new secrets are taken
beside the old; then they are used, and what is encrypted is encrypted anew; then the old ones are gone. On the way
PostgreSQL's login and Valkey's password change too. The callers' provider has a stored, encrypted key.
"""

import asyncio
import secrets
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

import psycopg
import redis
from cryptography.fernet import Fernet
from psycopg import sql

from drills import releases
from drills.callers import Load
from drills.rolling_upgrade import Drill, Failed, Installation, arguments, carried_out

# Run by the installation's own code, so that the key is stored as the admin stores it.
STORED_PROVIDER = """
from django.conf import settings
from assistant_site.db import scope
from tenants.models import Provider
with scope.everything():
    provider = Provider(name="stored", base_url=settings.OPENAI_BASE_URL, embedding_model="off")
    provider.set_api_key("sk-none")
    provider.save()
"""

ENDING_SECONDS = 15
_OTHERS = (
    "SELECT application_name, state, left(query, 200) FROM pg_stat_activity "
    "WHERE usename = 'holdfast' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@dataclass(frozen=True)
class Secrets:
    """One generation of them."""

    key: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    encryption_key: str = field(default_factory=lambda: Fernet.generate_key().decode())
    admin_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    database: str = field(default_factory=lambda: secrets.token_hex(16))
    valkey: str = field(default_factory=lambda: secrets.token_hex(16))


def variables(first: Secrets, *others: Secrets) -> dict[str, str]:
    """What processes are told: the first generation is used, the others are taken as well."""
    return {
        "SECRET_KEY": first.key,
        "SECRET_KEY_FALLBACKS": ",".join(each.key for each in others),
        "ENCRYPTION_KEYS": ",".join(each.encryption_key for each in (first, *others)),
        "ADMIN_TOKEN": first.admin_token,
        "ADMIN_TOKEN_FALLBACKS": ",".join(each.admin_token for each in others),
    }


@dataclass
class SecretsDrill(Drill):
    last: Secrets = field(default_factory=Secrets)
    next: Secrets = field(default_factory=Secrets)

    def prepare(self) -> None:
        site = self.installation
        self._in_valkey("ACL", "SETUSER", "default", f">{self.last.valkey}")
        site.tell(REDIS_URL=self._valkey_url(self.last), **variables(self.last))
        site.manage(self.new, "shell", "--verbosity", "0", "-c", STORED_PROVIDER)

    async def steps(self, load: Load) -> None:
        site, last, new = self.installation, self.last, self.next
        load.seconds = self.longest
        await self.begin(load, "the last secrets")

        self._in_valkey("ACL", "SETUSER", "default", f">{new.valkey}", password=last.valkey)
        site.tell(**variables(last, new))
        await self.replace_all(load, "one that takes both", self.new)
        self._both_tokens_are_taken()

        site.tell(REDIS_URL=self._valkey_url(new), **variables(new, last))
        site.tell(DATABASE_URL=self._second_login(new.database))
        await self.replace_all(load, "one that uses the new", self.new)
        self._both_tokens_are_taken()
        await asyncio.to_thread(site.manage, self.new, "rotate_encryption_keys")
        await asyncio.to_thread(site.manage, self.new, "rotate_encryption_keys", "--check")

        self._in_valkey("ACL", "SETUSER", "default", f"<{last.valkey}", password=new.valkey)
        site.tell(**variables(new))
        await asyncio.to_thread(self._close_first_login)
        await self.replace_all(load, "one that knows the new only", self.new)
        await self.begin(load, "the new secrets")
        if self._is_taken(last.admin_token) or not self._is_taken(new.admin_token):
            raise Failed("The last ADMIN_TOKEN is still taken, or the new one is not.")

    def _second_login(self, password: str) -> str:
        """The address with another login, which works as the tables' owner."""
        site = self.installation
        with psycopg.connect(site.database, autocommit=True) as connection:
            made = sql.SQL("CREATE ROLE holdfast_b LOGIN PASSWORD {} IN ROLE holdfast")
            connection.execute(made.format(sql.Literal(password)))
        return site.database_url(password, "holdfast_b") + "?assume_role=holdfast"

    def _close_first_login(self) -> None:
        """Nobody has a connection of it any more, and nobody gets another. Raises `Failed`."""
        site = self.installation
        with psycopg.connect(site.database, autocommit=True) as connection:
            deadline = time.monotonic() + ENDING_SECONDS
            while left := connection.execute(_OTHERS).fetchall():
                if time.monotonic() > deadline:
                    raise Failed(f"Connections of the last login are still there: {left}")
                time.sleep(0.2)
            connection.execute("ALTER ROLE holdfast NOLOGIN")
        site.database = site.environment["DATABASE_URL"].partition("?")[0]

    def _valkey_url(self, generation: Secrets) -> str:
        return f"{self.installation.valkey}?password={generation.valkey}"

    def _in_valkey(self, *words: str, password: str | None = None) -> None:
        with redis.Redis(
            unix_socket_path=self.installation.valkey.removeprefix("unix://"), password=password
        ) as client:
            client.execute_command(*words)

    def _both_tokens_are_taken(self) -> None:
        if not (self._is_taken(self.last.admin_token) and self._is_taken(self.next.admin_token)):
            raise Failed("An ADMIN_TOKEN is not taken although it is one of the two.")

    def _is_taken(self, token: str) -> bool:
        port = next(process.port for process in self.installation.processes if process.port)
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/tenants", headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as refusal:
            if refusal.code == 401:
                return False
            raise


def main() -> None:
    given = arguments("All secrets change under load.").parse_args()

    def made(installation: Installation) -> Drill:
        here = releases.PROJECT
        return SecretsDrill(installation, here, here, given.callers, given.calm, given.longest)

    sys.exit(carried_out(made))


if __name__ == "__main__":
    main()

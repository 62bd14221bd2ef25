"""Wrong keys and passwords, counted, so that nobody guesses them by trying."""

import logging
import time
from ipaddress import IPv6Address, ip_network

from assistant_site import valkey
from tenants import networks

logger = logging.getLogger(__name__)

MOST_A_MINUTE = 10  # from one address


class Guesses:
    """What somebody at this address got wrong in the present minute, in all processes. Without Valkey none is counted.

    `of` names what is guessed, in words of a key in Valkey.
    """

    def __init__(self, of: str, address: str) -> None:
        self.seconds_left = 60 - time.time() % 60
        self.key = f"holdfast:wrong:{of}:{int(time.time() // 60)}:{_neighbourhood(address)}"

    def are_too_many(self) -> bool:
        """Whether nothing more is to be tried before the minute is over."""
        try:
            return int(valkey.blocking().get(self.key) or 0) >= MOST_A_MINUTE
        except (valkey.Failed, OSError) as error:
            logger.warning("What is guessed is not counted: %s", error)
            return False

    def count(self) -> None:
        """One more was wrong."""
        try:
            with valkey.blocking().pipeline() as pipe:
                pipe.incr(self.key)
                pipe.expire(self.key, 120)
                pipe.execute()
        except (valkey.Failed, OSError) as error:
            logger.warning("What is guessed is not counted: %s", error)


def _neighbourhood(address: str) -> str:
    """The address, or the network of an IPv6 one: a single customer has at least so many."""
    found = networks.address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return str(found or "unknown")

"""Whose runs an engine takes: its places, and how tenants share them. No queries, no loop; docs/adr/0011.

A tenant that is alone may have all places. As soon as several want some, the engine carries only as many runs as it can
without being late with its tokens (`capacity`, which follows its loop's lag), and of these each tenant is entitled to
an equal share. What the others leave is there for whoever waits. A few places beyond are for tenants within their share
only, so that a newcomer never finds the engine full.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

LATELY_SECONDS = 60.0  # so long a tenant is counted in after its last run here
FIRST_CAPACITY = 32
LAG_SECONDS = 0.0018  # of the loop: with more there are too many runs, with less than half of it there may be more
BUSY = 0.7  # of a core: below it not our runs are what makes the loop late, but others on this machine
GROWTH, SHRINKAGE = 1.15, 0.8  # at each look at the lag


@dataclass(frozen=True)
class Waiting:
    """A tenant with queued runs. `room`: how many more it may have in all workers, if its runs are limited."""

    tenant_id: str
    room: int | None = None


class Places:
    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = size
        self.reserve = max(1, size // 8)
        self.least = max(1, size // 32)  # that the capacity never falls below: others may be what is making us late
        self._clock = clock
        self._capacity: float = size
        self._held: Counter[str] = Counter()
        self._seen: dict[str, float] = {}
        self._counted_at = clock()

    @property
    def taken(self) -> int:
        return self._held.total()

    @property
    def is_shared(self) -> bool:
        """Whether several tenants have wanted places lately."""
        return len(self._seen) > 1

    @property
    def capacity(self) -> int:
        return max(self.least, int(self._capacity)) if self.is_shared else self.size

    @property
    def share(self) -> int:
        """To how many places each tenant is entitled at the moment."""
        return max(1, min(self.size, self.capacity) // max(1, len(self._seen)))

    def see(self, tenant_id: str) -> None:
        """The tenant wants a place, or has one."""
        was_shared = self.is_shared
        self._seen[tenant_id] = self._clock()
        if self.is_shared and not was_shared:
            self._capacity = min(self.size, FIRST_CAPACITY)

    def forget_gone(self) -> None:
        """Leaves tenants out that have wanted nothing for a while; to be called now and then."""
        late = self._clock() - LATELY_SECONDS
        self._seen = {id: at for id, at in self._seen.items() if at > late or self._held[id]}

    def feel(self, lag: float, used: float) -> None:
        """Adapts the capacity to the loop's lag, in seconds, and the share of a core that this process used meanwhile.

        A loop that is late while the process hardly works waits for a core: fewer runs would not help it.
        """
        if lag > LAG_SECONDS and used > BUSY:
            self._capacity = max(self.least, min(self._capacity, self.taken) * SHRINKAGE)
        elif (lag < LAG_SECONDS / 2 or used < BUSY) and self.taken >= int(self._capacity):
            self._capacity = min(self.size, self._capacity * GROWTH)

    def room_for(self, tenant_id: str) -> bool:
        return self._fits(self._held[tenant_id], self.taken)

    def _fits(self, held: int, taken: int) -> bool:
        """Whether a tenant that has `held` places of the `taken` ones may have another."""
        if taken < self.capacity and taken < self.size:
            return True
        return held < self.share and taken < self.size + self.reserve

    def take(self, tenant_id: str) -> None:
        self.see(tenant_id)
        self._held[tenant_id] += 1

    def give_back(self, tenant_id: str) -> None:
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]

    def allot(self, waiting: Iterable[Waiting], most: int) -> Counter[str]:
        """How many runs of whom are to be taken next, `most` at once: always of who has the fewest."""
        turns: Counter[str] = Counter()
        held = {each.tenant_id: self._held[each.tenant_id] for each in waiting}
        left = {each.tenant_id: most if each.room is None else each.room for each in waiting}
        taken = self.taken
        while most and (wanting := [id for id, room in left.items() if room > 0]):
            id = min(wanting, key=lambda id: (held[id], self._seen.get(id, 0.0)))
            if not self._fits(held[id], taken):
                break
            turns[id] += 1
            held[id] += 1
            left[id] -= 1
            taken += 1
            most -= 1
        return turns

"""CPU seconds between two points, by who used them."""

import os
import time
from pathlib import Path

from benchmarks.load.checkout import Checkout

_TICK = os.sysconf("SC_CLK_TCK")


def _machine() -> float:
    """CPU seconds of the whole machine so far, stolen time included."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


class Meter:
    """Of one installation; `others` are installations that stand beside it."""

    def __init__(self, of: Checkout, others: list[Checkout] | None = None) -> None:
        self._of = of
        self._others = [each for each in others or [] if each is not of]
        self._at, self._start, self._rest = time.perf_counter(), *self._read()

    def _read(self) -> tuple[dict[str, float], float]:
        found = self._of.processes.cpu()
        found["model"] = self._of.model.cpu()
        found["client"] = time.process_time()
        known = sum(found.values()) + sum(sum(each.processes.cpu().values()) for each in self._others)
        return found, _machine() - known

    def stop(self) -> dict[str, float]:
        """Seconds by part since the beginning; `other_cores`: what the rest of the machine used, in cores."""
        now, rest = self._read()
        seconds = max(time.perf_counter() - self._at, 0.01)
        used = {part: now[part] - self._start.get(part, 0.0) for part in now}
        return used | {"seconds": seconds, "other_cores": max(0.0, (rest - self._rest) / seconds)}

"""What every long-lived process sets once it has loaded everything."""

import gc
import sys

# An event loop shares the interpreter with threads that do database work; at Python's 5 ms it would wait for them.
SWITCH_INTERVAL_SECONDS = 0.001
# Requests make thousands of short-lived objects; the default of 700 would look through them many times each.
GARBAGE_THRESHOLD = 20_000


def settle() -> None:
    """Leaves what was loaded out of every later garbage collection, and hands the interpreter over more often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)

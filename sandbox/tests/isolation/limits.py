"""How much a session of the suite may use: little, so that reaching it is quick and harmless."""

from sandbox.protocol import MIB, Limits

MOST = Limits(sessions=40)  # of any session here
SMALL = Limits(memory_bytes=200 * MIB, data_bytes=16 * MIB, seconds=30.0, sessions=40)

"""How worker processes show that they are there."""

ALIVE_KEY = "holdfast:worker:"
ALIVE_SECONDS = 15

"""What goes out in the `_meta` of a call, beside what the protocol says of it."""

IDEMPOTENCY_KEY = "idempotencyKey"
# How many assistants have called each other, with this call: by it Holdfast, as a server, ends circles.
DEPTH = "holdfast/depth"

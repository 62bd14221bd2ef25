"""Traces for OpenTelemetry: one from a client's request through queue and worker to models and tools (docs/tracing.md).

`spans` is what the code says; `exporting` sends it, and is the only module that loads what does.
"""

"""Hostile code against the sandbox, over the whole way a worker takes: client, daemon, session, runner.

`make test-sandbox` runs it, `make test-sandbox-walls` removes each protection and demands that a test notices. The ids
in the docstrings (N1, F3, ...) are the rows of docs/sandbox-walls.md.
"""

"""Assistants as tools for whoever speaks MCP: a call of the tool is a run.

It lives with the runs, the highest app, because a call starts a run, follows it and reads what it wrote; nothing below
needs it. It is stateless: no sessions, no stream that the server opens, each request answered by any web process.

`protocol` reads and writes messages and knows no rows; `toolbox` says which assistants are which tools; `calls` starts
runs and tells what they came to; `api` puts them behind `/mcp` and `/assistants/{id}/mcp`.

The types of the protocol (28 MB) are loaded by the first request: `api` imports the others where it uses them.
"""

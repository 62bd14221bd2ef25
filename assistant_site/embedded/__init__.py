"""PostgreSQL and Valkey from wheels, run as child processes, so that `make run` needs nothing installed.

`process` starts and ends programs, `account` says as which user, `server` is what both servers share, `services`
puts them together from the settings, `commands` lends them to management commands, `supervisor` is `manage.py up`.
"""

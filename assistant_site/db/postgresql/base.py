"""Django's PostgreSQL backend with a health check that costs no round trip.

An idle connection has nothing to read. If the server went away, its end of the connection is closed and the socket
becomes readable: then the connection is dropped before it is used. `SELECT 1` instead would cost every request a
round trip (0.1 to 0.3 ms here).
"""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        connection = self.connection
        if connection is None or connection.closed:
            return False
        watch = select.poll()
        watch.register(connection.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
        return not watch.poll(0)

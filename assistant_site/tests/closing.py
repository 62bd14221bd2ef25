"""How a server of asyncio is closed whose clients come and go as they like."""

import asyncio

_STEPS = 10  # of the loop, at most, until a connection that was accepted has its protocol


async def close(server: asyncio.Server) -> None:
    """Lets no more in, and closes. Who was let in at this moment is there first: closed at once, Python 3.11 would lose
    that connection in an assertion, and leave it open.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(_STEPS):
        await asyncio.sleep(0)
    server.close()

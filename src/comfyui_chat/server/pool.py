"""server/pool."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterator

from ..tasks import CLEAN_UP_SECONDS
from .client import ComfyUIServer
from .cloud import ComfyCloud
from .endpoint import Endpoint

IDLE_SECONDS = 60.0  # how long the websocket outlives its last job
IDLE_SERVERS = 100  # that are remembered without being in use


class Pool:
    """The servers of one event loop, and the task that looks after them.

    The keeper closes what has been idle for `IDLE_SECONDS`, so that nothing stays behind when Open WebUI loads the file
    anew, and frees ComfyUI's memory where that is due. It closes everything when the event loop ends: that cancels all
    of its tasks, while a Stop cancels one call. So the keeper also tells the two apart.
    """

    def __init__(self) -> None:
        self._servers: dict[Endpoint, ComfyUIServer] = {}
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> "Pool":
        """The one of this event loop."""
        for loop in [reference() for reference in _POOLS.keyrefs()]:  # a copy: other threads have loops, too
            if loop and loop.is_closed():
                _POOLS.pop(loop, None)
        return _POOLS.setdefault(asyncio.get_running_loop(), cls())

    @property
    def ending(self) -> bool:
        """Whether the event loop ends, as when Open WebUI is shut down."""
        return self._keeper is not None and self._keeper.cancelling() > 0

    def server(self, endpoint: Endpoint) -> ComfyUIServer:
        """The server of an endpoint, whether or not it is open."""
        server = self._servers.pop(endpoint, None) or (ComfyCloud if endpoint.cloud else ComfyUIServer)(endpoint)
        server.endpoint = endpoint  # by another name, perhaps
        for forgotten in [one for one, other in self._servers.items() if not other.is_watched][:-IDLE_SERVERS]:
            del self._servers[forgotten]
        self._servers[endpoint] = server
        return server

    @contextlib.asynccontextmanager
    async def open(self, endpoint: Endpoint) -> AsyncIterator[ComfyUIServer]:
        """The server of an endpoint, which is not closed meanwhile."""
        server = self.server(endpoint)
        async with server.door:
            server.users += 1
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())
        try:
            yield server
        finally:
            server.users -= 1
            server.idle_since = time.monotonic()

    async def close(self) -> None:
        """Close everything at once."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _keep(self) -> None:
        try:
            while watched := [server for server in self._servers.values() if server.is_watched]:
                for server in watched:
                    now = time.monotonic()
                    if server.free_at is not None and now >= server.free_at and not server.in_use:
                        server.later(server.free_when_due())
                    elif server.is_open and not server.in_use and now - server.idle_since >= IDLE_SECONDS:
                        async with server.door:
                            if not server.in_use:
                                await server.close()
                await asyncio.sleep(IDLE_SECONDS / 10)
        finally:  # each as far as its time allows; what is open after that ends with the process
            closing = [asyncio.create_task(server.close()) for server in self._servers.values() if server.is_open]
            if closing:
                await asyncio.wait(closing, timeout=CLEAN_UP_SECONDS)


_POOLS: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool]" = weakref.WeakKeyDictionary()


def open_server(endpoint: Endpoint) -> contextlib.AbstractAsyncContextManager[ComfyUIServer]:
    """The server of an endpoint, one for all calls of this event loop."""
    return Pool.here().open(endpoint)


async def close_servers() -> None:
    """Close everything at once, for the command line and for tests."""
    if pool := _POOLS.pop(asyncio.get_running_loop(), None):
        await pool.close()

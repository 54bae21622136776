"""The servers of an event loop: opened on demand, shared by all, closed when idle.

`open_server` is the way in. It asks the `Pool` of the running event loop for the endpoint's one
`ComfyUIServer` (`ComfyCloud` where the endpoint says so), which then is not closed before the
`async with` ends:

    async with open_server(endpoint) as server:
        queue = await server.queue(time.monotonic())

A pool belongs to one event loop, since its sockets and tasks do; a process may have several, in
turn or in threads.
"""

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterator

from ..bounded import BoundedDict
from ..bounds import MOST_IDLE_BYTES_KEPT
from ..tasks import CLEAN_UP_SECONDS
from .client import ComfyUIServer
from .cloud import ComfyCloud
from .endpoint import Endpoint

IDLE_SECONDS = 60.0  # how long connections outlive the last call that needed them
IDLE_SERVERS = 100  # how many servers are remembered without being in use
_POOLS: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool]" = weakref.WeakKeyDictionary()


def open_server(endpoint: Endpoint) -> contextlib.AbstractAsyncContextManager[ComfyUIServer]:
    """The server of an endpoint, one for all calls of this event loop."""
    return Pool.here().open(endpoint)


async def close_servers() -> None:
    """Close everything at once, for the command line and for tests."""
    if pool := _POOLS.pop(asyncio.get_running_loop(), None):
        await pool.close()


class Pool:
    """The servers of one event loop, and the keeper: the task that looks after them.

    The keeper closes what has been idle for `IDLE_SECONDS`, so that nothing stays behind when Open
    WebUI loads the file anew, and frees ComfyUI's memory where that is due. It closes everything
    when the event loop ends, which cancels all of the loop's tasks. A Stop cancels one call only,
    and never the keeper; so `ending` tells the two apart.
    """

    def __init__(self) -> None:
        self._servers = BoundedDict[Endpoint, ComfyUIServer](
            IDLE_SERVERS, lambda server: server.is_watched
        )
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> "Pool":
        """The pool of the running event loop. Those of closed loops are forgotten."""
        here = asyncio.get_running_loop()
        pool = _POOLS.get(here)
        if pool is None:
            for reference in _POOLS.keyrefs():  # a copy: other threads have loops, too
                loop = reference()
                if loop and loop.is_closed():
                    _POOLS.pop(loop, None)
            pool = _POOLS[here] = cls()
        return pool

    def server(self, endpoint: Endpoint) -> ComfyUIServer:
        """The server of an endpoint, whether or not it is open."""
        server = self._servers.pop(endpoint, None)
        if server is None:
            server = ComfyCloud(endpoint) if endpoint.cloud else ComfyUIServer(endpoint)
        server.endpoint = endpoint  # an equal one, but its label may be new
        self._servers[endpoint] = server  # the last one is the latest used
        return server

    def remembered(self, endpoint: Endpoint) -> ComfyUIServer | None:
        """The server of an endpoint that a call has asked for before, if any."""
        return self._servers.get(endpoint)

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
            server.background.idle_since = time.monotonic()

    @property
    def ending(self) -> bool:
        """Whether the event loop is about to end, as when Open WebUI is shut down."""
        return self._keeper is not None and self._keeper.cancelling() > 0

    async def close(self) -> None:
        """Close everything at once."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _keep(self) -> None:
        """The keeper: looks at all servers every few seconds, and ends when none needs that any
        longer.
        """
        try:
            while watched := [server for server in self._servers.values() if server.is_watched]:
                for server in watched:
                    await self._look_after(server)
                await asyncio.sleep(IDLE_SECONDS / 10)
        finally:  # each as far as its time allows; what is open after that ends with the process
            closing = [
                asyncio.create_task(server.close())
                for server in self._servers.values()
                if server.is_open
            ]
            if closing:
                await asyncio.wait(closing, timeout=CLEAN_UP_SECONDS)

    async def _look_after(self, server: ComfyUIServer) -> None:
        """Free the memory of a server, or close it, when it is time for that."""
        if server.in_use:
            return
        now = time.monotonic()
        if server.free_at is not None and now >= server.free_at:
            server.background.later(server.free_when_due())
        elif server.is_open and now - server.background.idle_since >= IDLE_SECONDS:
            async with server.door:
                if not server.in_use:
                    await server.close()
                    server.forget_lists()
            self._forget_idle()

    def _forget_idle(self) -> None:
        """Keep no more than `MOST_IDLE_BYTES_KEPT` of what was learned of servers that are closed:
        the newest.
        """
        kept = 0
        for server in reversed([*self._servers.values()]):
            if server.is_open:
                continue
            kept += server.bytes_kept
            if kept > MOST_IDLE_BYTES_KEPT:
                kept -= server.bytes_kept
                server.forget()

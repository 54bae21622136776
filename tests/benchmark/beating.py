"""How long an event loop does nothing else: a task in it that wants to run every 5 ms.

Its longest wait is what others feel. On a busy machine that is mostly the machine's, so the CPU time that the loop's
thread used meanwhile is told, too: the longest of those is a stall that is our own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

BEAT_SECONDS = 0.005  # between two looks


@dataclass
class Longest:
    """The longest times between two looks."""

    stall: float = 0.0  # too late, in seconds
    busy: float = 0.0  # of CPU of this thread

    async def watch(self, look: Callable[[], None]) -> None:
        """Look until it is cancelled."""
        while True:
            due, used = time.perf_counter() + BEAT_SECONDS, time.thread_time()
            await asyncio.sleep(BEAT_SECONDS)
            self.stall = max(self.stall, time.perf_counter() - due)
            self.busy = max(self.busy, time.thread_time() - used)
            look()


@contextlib.asynccontextmanager
async def beating(look: Callable[[], None] = lambda: None) -> AsyncIterator[Longest]:
    """Watch the event loop within this block, and `look` at something else each time."""
    longest = Longest()
    watching = asyncio.create_task(longest.watch(look))
    await asyncio.sleep(0)
    try:
        yield longest
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

"""How long an event loop does nothing else: a task in it that wants to run every 5 ms.

Its longest wait is what others feel. On a busy machine that is mostly the machine's, so the CPU time that the loop's
thread used meanwhile is told, too: the longest of those is a stall that is our own.

A part of that may be the garbage collection, which goes through all that the process holds, whosever it is: the more
so, the more often, the smaller the process. So the longest stall is told without it as well.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

BEAT_SECONDS = 0.005  # between two looks


@dataclass
class Longest:
    """The longest times between two looks."""

    stall: float = 0.0  # too late, in seconds
    busy: float = 0.0  # of CPU of this thread
    working: float = 0.0  # of CPU of this thread, without garbage collections
    _collecting: float = 0.0  # of CPU, in garbage collections, less what it was when the one under way began

    async def watch(self, look: Callable[[], None]) -> None:
        """Look until it is cancelled."""
        while True:
            due, used, collecting = time.perf_counter() + BEAT_SECONDS, time.thread_time(), self._collecting
            await asyncio.sleep(BEAT_SECONDS)
            busy = time.thread_time() - used
            self.stall = max(self.stall, time.perf_counter() - due)
            self.busy = max(self.busy, busy)
            self.working = max(self.working, busy - (self._collecting - collecting))
            look()

    def collected(self, phase: str, _what: dict[str, int]) -> None:
        """Count a garbage collection; one of `gc.callbacks`."""
        self._collecting += time.thread_time() if phase == "stop" else -time.thread_time()


@contextlib.asynccontextmanager
async def beating(look: Callable[[], None] = lambda: None) -> AsyncIterator[Longest]:
    """Watch the event loop within this block, and `look` at something else each time."""
    longest = Longest()
    watching = asyncio.create_task(longest.watch(look))
    await asyncio.sleep(0)
    gc.callbacks.append(longest.collected)
    try:
        yield longest
    finally:
        gc.callbacks.remove(longest.collected)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

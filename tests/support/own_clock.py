"""A clock of a test's own: it stands still while anything works, and jumps to the next timer when nothing does.

Waiting takes no real time and work takes no time of that clock, so that what happens when is the same on a fast machine
and on a busy one. Servers and clients have to be in the test's process, on its event loop, at the loopback address:
what is on its way between them counts as work. `tests/conftest.py` lets every asynchronous test run on an
`OwnClockLoop` but those marked `real_clock`, which wait for another process or another event loop.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

# Seconds of the real clock for which it is waited, before the clock jumps, for what is on its way to a socket of this
# process: the longer the jump the longer, since a long one is most often the end of somebody's patience.
ARRIVAL_SECONDS = 0.001
EXACT_ARRIVAL_SECONDS = 0.005  # where the order of all that happens counts, on a machine that is busy with other things
LONGEST_ARRIVAL_SECONDS = 0.1
ARRIVAL_SHARE = 0.01  # of the jump
LOOK_SECONDS = 0.02  # between two looks for the end of what threads do
# By how much each reading is later than the one before: which of two things came first can always be told.
READING_SECONDS = 1e-8


real_time = time.monotonic


def loop_time() -> float:
    """What `time.monotonic` tells in a test: the time of the loop's own clock, where one runs on it."""
    loop = asyncio._get_running_loop()
    return loop.time() if isinstance(loop, OwnClockLoop) else real_time()


class OwnClockLoop(asyncio.SelectorEventLoop):
    """An event loop that advances its own clock, when nothing is left to do at the present moment."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._threads_at_work = 0
        self._is_exact = False
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        self._now += READING_SECONDS
        return self._now

    @property
    def works_in_threads(self) -> bool:
        return self._threads_at_work > 0

    def be_exact(self) -> None:
        """Let all happen in the same order on every machine from now on: what threads would do is done at once, and
        what is on its way is waited for longer."""
        self._is_exact = True

    @property
    def arrival_seconds(self) -> float:
        return EXACT_ARRIVAL_SECONDS if self._is_exact else ARRIVAL_SECONDS

    def jump(self, seconds: float) -> None:
        # A little further than to the timer, since a sum of floats may fall short of it.
        self._now += seconds + 1e-6

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        if self._is_exact:
            return self._done_at_once(func, *args)
        future = super().run_in_executor(executor, func, *args)
        self._threads_at_work += 1
        future.add_done_callback(self._thread_is_done)
        return future

    def _done_at_once(self, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _thread_is_done(self, future: asyncio.Future[Any]) -> None:
        self._threads_at_work -= 1


class _JumpingSelector(selectors.BaseSelector):
    """Waits for sockets as the system's selector does, and lets the loop's clock jump where that one would wait."""

    def __init__(self, loop: OwnClockLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self._loop.works_in_threads:
            return self._real.select(LOOK_SECONDS)
        arrival_seconds = min(max(self._loop.arrival_seconds, ARRIVAL_SHARE * timeout), LONGEST_ARRIVAL_SECONDS)
        ready = self._real.select(arrival_seconds)
        if not ready:
            self._loop.jump(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

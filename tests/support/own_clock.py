"""A clock of a test's own: it stands still while anything works, and jumps to the next timer when nothing does.

    run_on_own_clock(main())

runs a coroutine on an event loop whose clock is not the machine's, and `@on_own_clock` does so with a test. Waiting
takes no real time and work takes no time of that clock, so that what happens when is the same on a fast machine and on
a busy one. `time.monotonic` tells the loop's time meanwhile, since the tool measures its waits by it. Servers and
clients have to be in this process, on this loop, at the loopback address: what is on its way between them counts as
work.
"""

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any
from unittest import mock

# Seconds of the real clock within which what is on its way to a socket of this process arrives, and between two looks
# for the end of what threads do.
ARRIVAL_SECONDS = 0.001
LOOK_SECONDS = 0.02
# By how much each reading is later than the one before: which of two things came first can always be told.
READING_SECONDS = 1e-8


def run_on_own_clock(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end on a loop whose clock begins at 1000 seconds."""
    with asyncio.Runner(loop_factory=OwnClockLoop) as runner:
        loop = runner.get_loop()
        with mock.patch.object(time, "monotonic", loop.time):
            runner.run(main)


def on_own_clock(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let an asynchronous test run on a clock of its own."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        run_on_own_clock(test(*args, **named))

    return run


class OwnClockLoop(asyncio.SelectorEventLoop):
    """An event loop that advances its own clock, when nothing is left to do at the present moment."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._threads_at_work = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        self._now += READING_SECONDS
        return self._now

    @property
    def works_in_threads(self) -> bool:
        return self._threads_at_work > 0

    def jump(self, seconds: float) -> None:
        # A little further than to the timer, since a sum of floats may fall short of it.
        self._now += seconds + 1e-6

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self._threads_at_work += 1
        future.add_done_callback(self._thread_is_done)
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
        ready = self._real.select(ARRIVAL_SECONDS)
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

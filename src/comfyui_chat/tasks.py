"""Asyncio helpers: a bounded gather, and a clean-up that no cancellation cuts short.

`gather` awaits many requests, a few at a time; `together` has what many ask at the same moment
answered once, and `Turns` has what many begin at the same moment begun a few at a time. `finish`
brings a clean-up to its end, within a time limit, even when the call that it belongs to is
cancelled meanwhile: Stop in Open WebUI's chat cancels the call's task. The two constants are time
limits, in seconds, for waiting in many parts of the tool.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, TypeVar

from .logs import log

ANSWER_SECONDS = 60.0  # for one HTTP answer; ComfyUI takes a while to validate a large prompt
CLEAN_UP_SECONDS = 3.0  # for everything that is still done after a Stop
T = TypeVar("T")


async def gather(most: int, work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Call each function in `work` and await its result, at most `most` at a time; returns the
    results in order.

    The first failure, or a cancellation, cancels the rest; it is raised when they have ended.
    """
    if len(work) < 2:  # which needs no task
        return [await start() for start in work]
    gate = asyncio.Semaphore(most)

    async def when_free(start: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await start()

    tasks = [asyncio.create_task(when_free(start)) for start in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_Questions = dict[Hashable, "asyncio.Task[Any]"]
_ASKED: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Questions]" = (
    weakref.WeakKeyDictionary()
)


async def together(question: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """One answer for all who ask the same question before it is begun to be answered, so in the
    same turn of the event loop. When one of them is cancelled, the work goes on for the others.
    """
    loop = asyncio.get_running_loop()
    asked = _ASKED.setdefault(loop, {})
    task = asked.get(question)
    if task is None:
        task = asked[question] = asyncio.create_task(ask())
        # its waiters may be gone
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        loop.call_soon(asked.pop, question)  # right after its first step
    answer: T = await asyncio.shield(task)
    return answer


BEGUN_IN_A_TURN = 10  # calls, each of which then works for up to a millisecond on a slow machine


class Turns:
    """The turns of an event loop. What many calls do at the same moment is done by a few of them in
    each turn, in the order in which they came, so that everything else gets its turn, too.
    """

    def __init__(self) -> None:
        self._begun = 0  # how many came in this turn
        self._waiting: deque[asyncio.Future[None]] = deque()

    @classmethod
    def here(cls) -> "Turns":
        """Those of the running event loop."""
        return _TURNS_OF_LOOPS.setdefault(asyncio.get_running_loop(), cls())

    async def come(self) -> None:
        """Wait for a turn in which not many came before."""
        if self._begun == 0:
            asyncio.get_running_loop().call_soon(self._next)
        if self._begun < BEGUN_IN_A_TURN and not self._waiting:
            self._begun += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        """Begin a turn with those who wait."""
        self._begun = 0
        while self._waiting and self._begun < BEGUN_IN_A_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # else who waited was stopped
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next)


_TURNS_OF_LOOPS: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Turns]" = (
    weakref.WeakKeyDictionary()
)


async def finish(work: Awaitable[Any], seconds: float) -> bool:
    """Await a short clean-up to its end, for at most `seconds`, however often the caller is
    cancelled meanwhile.

    Returns whether it went well. A failure is logged and not raised; a cancellation of the caller
    is raised afterwards.
    """

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await work

    task = asyncio.create_task(bounded())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    failure = None if task.cancelled() else task.exception()
    if failure:
        log.warning("clean-up: %s: %s", type(failure).__name__, failure)
    if cancelled:
        raise cancelled
    return not task.cancelled() and failure is None

"""tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from .logs import log

ANSWER_SECONDS = 60.0  # for one HTTP answer; validating a large prompt takes a while
CLEAN_UP_SECONDS = 3.0  # for everything that a Stop still does
T = TypeVar("T")


async def gather(most: int, work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """All results in order, at most so many at a time; the first failure, or a cancellation, cancels the rest."""
    gate = asyncio.Semaphore(most)

    async def one(ask: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await ask()

    tasks = [asyncio.create_task(one(ask)) for ask in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def finish(work: Awaitable[Any], seconds: float) -> bool:
    """Do a short clean-up to its end, or to the end of its time, however often the caller is cancelled meanwhile; a
    cancellation is raised again afterwards. Returns whether it went well; its failure is logged and goes no further.
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
    return not (failure or task.cancelled())

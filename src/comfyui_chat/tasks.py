"""tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

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

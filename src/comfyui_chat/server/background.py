"""What goes on beside the calls of a server: its chores, and questions that several calls share.

`later` does something in the background, such as freeing ComfyUI's memory after a run. `together`
asks a question once for all who have it at the same time. `close` ends both.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import ComfyUIError
from ..logs import log
from ..tasks import T


class Background:
    """The chores and shared questions of one server, which is called `name` in the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        # under way, each asked once for all who wait for it
        self._questions: dict[str, asyncio.Task[Any]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self.idle_since = 0.0  # when the last chore, or call of the server, ended

    @property
    def is_busy(self) -> bool:
        """Whether a chore goes on."""
        return bool(self._chores)

    def later(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, for as long as the server is open. Its failure is
        logged.
        """
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: "asyncio.Task[None]") -> None:
        self._chores.discard(task)
        self.idle_since = time.monotonic()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        reason = type(error).__name__
        if isinstance(error, ComfyUIError):
            reason = error.message
        log.info("%s: a chore failed: %s", self._name, reason)

    async def together(self, question: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One answer for all who ask the same `question` at the same time. When one of them is
        cancelled, the request goes on for the others.
        """
        task = self._questions.get(question)
        if task is None:
            task = asyncio.create_task(ask())
            task.add_done_callback(functools.partial(self._answered, question))
            self._questions[question] = task
        answer: T = await asyncio.shield(task)
        return answer

    def _answered(self, question: str, task: "asyncio.Task[Any]") -> None:
        self._questions.pop(question, None)
        if not task.cancelled():
            # those who asked may be gone, and asyncio would complain that nobody looked
            task.exception()

    async def close(self) -> None:
        """Cancel the chores and the questions, and wait until they have ended."""
        tasks: list[asyncio.Task[Any]] = [*self._chores, *self._questions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

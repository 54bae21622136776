"""The tool's own threads: whatever blocks runs in one of these few, and never in those that Open
WebUI shares.

    still = await PICTURES.run(read_input, data, name)

There are three sorts, so that one sort of work cannot hold up another: `FILES` reads texts and
workflows, `PICTURES` decodes and encodes, which takes memory, and `STORAGE` waits for Open WebUI's
storage, which may be a disk or a service far away. A user gets all but a part of the threads of a
sort, whatever they ask for; what more they ask for waits until one of theirs is done. Whose work it
is, `WORKS_FOR` tells, which a call sets at its beginning.

What is short is not worth a thread. `run_unless_short` does it at once, on the event loop, where
what it works over is short (extents.py), and so spread over the loop's turns that two hundred calls
at the same moment do not hold it either:

    prompts = await FILES.run_unless_short([graph, definitions], prepare, graph, definitions)

A thread cannot be stopped. So a call that takes too long ends with `TookTooLong` while its thread
goes on, and counts as its user's until it is done: work must be bounded by itself, by the table in
bounds.py.

Open WebUI loads a tool anew whenever it is saved, and may have it twice. So the threads belong to
the process: they are kept by a name among Python's modules, where every load of this file finds
them. They are started when they are needed.
"""

import asyncio
import contextlib
import contextvars
import functools
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, cast

from .errors import TookTooLong
from .extents import is_short

P = ParamSpec("P")
R = TypeVar("R")

HOME = "comfyui_tool_threads"  # the module that keeps the threads
# the id of a user
WORKS_FOR: contextvars.ContextVar[str] = contextvars.ContextVar("works_for", default="")

# How much each user may have done at the same time: a gate for each sort of threads and user. A
# semaphore belongs to an event loop, and is forgotten when nobody is behind it.
_Gates = weakref.WeakValueDictionary[tuple[str, str], asyncio.Semaphore]
_GATES: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Gates]" = weakref.WeakKeyDictionary()

# of short work in one turn of an event loop; what is more waits for the next turn
TURN_SECONDS = 0.005


def _of_process(name: str, make: Callable[[], R]) -> R:
    """What this process keeps by a name, the same for every load of this file. It is made where
    there is nothing yet.
    """
    home = vars(sys.modules.get(HOME) or sys.modules.setdefault(HOME, ModuleType(HOME)))
    if name not in home:
        home.setdefault(name, make())  # another thread may have been faster
    kept: R = home[name]
    return kept


def one_at_a_time() -> contextlib.AbstractContextManager[Any]:
    """Within this only one thread of the process is at a time: for work that takes much memory.
    Blocks.
    """
    return _of_process("one_at_a_time", threading.Lock)


class ShortWork:
    """The short work of an event loop, done in the order in which it comes and at most
    `TURN_SECONDS` of it in one turn of the loop, so that everything else gets its turn, too.
    """

    def __init__(self) -> None:
        self._seconds = 0.0  # of work that was done in this turn
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()

    @classmethod
    def here(cls) -> "ShortWork":
        """That of the running event loop."""
        loop = asyncio.get_running_loop()
        works = _SHORT_WORK.get(loop)
        if works is None:
            works = _SHORT_WORK[loop] = cls()
        return works

    async def run(self, function: Callable[[], R]) -> R:
        """Call a function in this turn of the loop or, where that has had enough, in one of the
        next.
        """
        if self._seconds < TURN_SECONDS and not self._waiting:
            return self._measured(function)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        in_context = functools.partial(contextvars.copy_context().run, function)
        self._waiting.append((in_context, future))
        return await future

    def _measured(self, function: Callable[[], R]) -> R:
        """Do a piece of work and count its time. The first one of a turn sees to it that the turn
        ends.
        """
        loop = asyncio.get_running_loop()
        if not self._seconds:
            loop.call_soon(self._next_turn)
        begun = loop.time()
        try:
            return function()
        finally:
            self._seconds += loop.time() - begun

    def _next_turn(self) -> None:
        """Begin a turn with what waits."""
        self._seconds = 0.0
        while self._waiting and self._seconds < TURN_SECONDS:
            function, future = self._waiting.popleft()
            if future.done():  # who asked was stopped
                continue
            try:
                future.set_result(self._measured(function))
            except Exception as error:
                future.set_exception(error)


_SHORT_WORK: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ShortWork]" = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True)
class Threads:
    """Threads for one sort of work."""

    name: str
    count: int  # how many there are in this process
    most_for_one: int  # of them, for one user
    seconds: float  # that a call may take, with its wait for a thread

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in one of the threads, with the context of the caller, and return or
        raise what it does.

        Raises `TookTooLong`. What was given up, or cancelled, before its turn came is not begun any
        more.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds
        gate = self._gate(loop)
        try:
            async with asyncio.timeout_at(end):
                await gate.acquire()
        except TimeoutError:
            raise self._too_long() from None
        given_up = threading.Event()
        in_context = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)

        def work() -> R | None:
            return None if given_up.is_set() else in_context()

        def done(future: asyncio.Future[R | None]) -> None:
            gate.release()
            future.exception()  # it is known now, though nobody may wait for it any more

        future = loop.run_in_executor(self._executor(), work)
        future.add_done_callback(done)
        try:
            await asyncio.wait({future}, timeout=end - loop.time())
        finally:
            given_up.set()
        if not future.done():
            raise self._too_long()
        return cast(R, future.result())

    async def run_unless_short(
        self, what: Sequence[Any], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`run`, but on the event loop where `what` the function works through is short. Only what
        is in it may make the function take longer.
        """
        if not is_short(what):
            return await self.run(function, *args, **kwargs)
        return await ShortWork.here().run(functools.partial(function, *args, **kwargs))

    def _gate(self, loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
        """The gate of the user whom this call is for."""
        gates = _GATES.setdefault(loop, weakref.WeakValueDictionary())
        key = self.name, WORKS_FOR.get()
        gate = gates.get(key)
        if gate is None:
            gate = gates[key] = asyncio.Semaphore(self.most_for_one)
        return gate

    def _executor(self) -> ThreadPoolExecutor:
        """The threads themselves."""
        name = f"{HOME}_{self.name}_{self.count}"
        return _of_process(name, lambda: ThreadPoolExecutor(self.count, name))

    def _too_long(self) -> TookTooLong:
        return TookTooLong(
            f"Open WebUI did not get it done within {self.seconds:g} seconds ({self.name})."
        )


FILES = Threads("files", count=3, most_for_one=2, seconds=60.0)
PICTURES = Threads("pictures", count=2, most_for_one=1, seconds=120.0)
STORAGE = Threads("storage", count=4, most_for_one=2, seconds=180.0)

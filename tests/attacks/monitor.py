"""How long the event loop stands still, in CPU time: a monitor that the hostile rows run under.

Two things hold Open WebUI up for everybody: a callback of the event loop that computes for long, and a long call of
Python's JSON or pattern code in any thread, which keeps the interpreter's lock. `watched` notes the longest of each,
in seconds of CPU of its own thread, so that whatever else the machine does is not counted.
"""

import asyncio
import contextlib
import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HOSTILE


@dataclass
class Longest:
    """The longest stretch, and what it was."""

    seconds: float = 0.0
    what: str = ""

    def note(self, begin: float, what: Callable[[], str]) -> None:
        seconds = time.thread_time() - begin
        if seconds > self.seconds:
            self.seconds = seconds
            self.what = what()


def name_of(callback: Any) -> str:
    """Which callback it was: the function, or the coroutine of a task's step. No `repr`, which would have aiohttp's
    objects look at themselves before they are whole."""
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return task.get_coro().__qualname__
    return str(getattr(callback, "__qualname__", type(callback).__name__))


@contextlib.contextmanager
def watched() -> Iterator[Longest]:
    """The longest stretch of CPU for which this thread's event loop, or the interpreter's lock, was held inside. What
    the hostile server computes is not counted."""
    longest = Longest()
    loop_thread = threading.get_ident()
    run_handle = asyncio.Handle._run

    def run(handle: asyncio.Handle) -> None:
        if threading.get_ident() != loop_thread:
            return run_handle(handle)
        callback = getattr(handle, "_callback", None)
        begin = time.thread_time()
        try:
            return run_handle(handle)
        finally:
            longest.note(begin, lambda: name_of(callback))

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread().name == HOSTILE:
                return call(*arguments, **named)
            begin = time.thread_time()
            try:
                return call(*arguments, **named)
            finally:
                longest.note(begin, lambda: f"{call.__qualname__} of {str(arguments[:1])[:60]}")

        return timing

    class Decoder(json.JSONDecoder):
        raw_decode = timed(json.JSONDecoder.raw_decode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", run)
        patch.setattr(tool, "JSON_DECODER", Decoder())
        patch.setattr(json, "loads", timed(json.loads))
        patch.setattr(json, "dumps", timed(json.dumps))
        gc.collect()
        gc.disable()  # its rounds go through all that pytest holds
        try:
            yield longest
        finally:
            gc.enable()

"""What rows are measured by: what reading costs, how long the event loop stands still, and a process of its own for
what may take all memory."""

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support import ROOT

# What is required of every row, unless it says otherwise.
MOST_TIMES_DEARER = 15  # ten times the text
MOST_STANDSTILL = 0.1  # seconds of CPU of our own between two turns of the event loop
MOST_TOLD = 20_000  # characters that a model is told

SIZES = (100, 1_000, 10_000, 100_000)  # of hostile texts; a step that grows too fast is not followed by the next
NOISE = 0.0005  # seconds of CPU that mean nothing
TRIES = 3


# --- what reading costs ---


def cost(read: Callable[[], object], tries: int = TRIES) -> float:
    """Seconds of CPU that this takes in this thread: the least of several tries. What it raises does not count."""
    least = float("inf")
    for _ in range(tries):
        began = time.thread_time()
        with contextlib.suppress(Exception):
            read()
        least = min(least, time.thread_time() - began)
        if least < NOISE or least > 1:
            break
    return least


def dearer(read: Callable[[int], Callable[[], object]], sizes: Iterable[int] = SIZES, noise: float = NOISE) -> str:
    """How reading a text grows too fast with its length, "" where it does not. `read` makes, for a length, what reads a
    text of it."""
    before = None
    for size in sizes:
        now = cost(read(size))
        if before is not None and now > MOST_TIMES_DEARER * max(before, noise):
            before, now = max(before, cost(read(size // 10))), min(now, cost(read(size)))  # it may have been noise
        if before is not None and now > MOST_TIMES_DEARER * max(before, noise):
            return f"{size} characters take {now:.4f} s, a tenth of them {before:.4f} s"
        before = now
    return ""


# --- the event loop ---


@dataclass
class Standstill:
    """The longest stretch of CPU time between two turns of the event loop, whichever thread of ours took it: a long
    call that holds Python's lock stops the loop from any thread. What the other side computes does not count."""

    longest: float = 0.0
    others: list[threading.Thread] = field(default_factory=list)

    def _spent(self) -> float:
        spent = time.process_time()
        for thread in self.others:
            if thread.ident is not None and thread.is_alive():
                spent -= time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        return spent

    async def watch(self) -> None:
        before = self._spent()
        while True:
            await asyncio.sleep(0.001)
            now = self._spent()
            self.longest = max(self.longest, now - before)
            before = self._spent()


@contextlib.asynccontextmanager
async def standstill(*others: threading.Thread) -> Any:
    """Watches the event loop meanwhile."""
    seen = Standstill(others=list(others))
    watching = asyncio.create_task(seen.watch())
    await asyncio.sleep(0.01)
    seen.longest = 0.0
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


# --- a process of its own ---

IMPORTED = 4096  # megabytes of address space: what Python maps is much more than what it uses


@dataclass(frozen=True)
class Apart:
    """What became of an attack in a process of its own."""

    answer: Any
    seconds: float  # of CPU
    megabytes: float  # that it took at most, beyond what it began with


def apart(attack: Callable[..., Any], *arguments: Any, seconds: float = 10.0, megabytes: int = 1500) -> Apart:
    """An attack in a process of its own, which is ended after so many seconds and gets no more memory than that.

    `attack` is a function of a test module, a coroutine or not, whose arguments and answer are plain values.
    """
    run = [sys.executable, "-m", "tests.attacks.table", attack.__module__, attack.__name__]
    limits = (seconds, megabytes)
    environment = {**os.environ, "PYTEST_XDIST_WORKER": "apart", "MALLOC_ARENA_MAX": "2"}
    try:
        done = subprocess.run(
            [*run, json.dumps(limits), json.dumps(arguments)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=3 * seconds + 10,  # of the clock: others compute, too
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it took more than {seconds:g} s") from None
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0 and lines, done.stderr.decode()[-2000:]
    return Apart(**json.loads(lines[-1]))


def peak() -> float:
    """The most megabytes that this process has held in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _main(module: str, name: str, limits: str, arguments: str) -> None:
    attack = getattr(importlib.import_module(module), name)
    seconds, megabytes = json.loads(limits)
    resource.setrlimit(resource.RLIMIT_AS, ((IMPORTED + megabytes) * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 1,) * 2)
    began, before = time.process_time(), peak()
    answer = attack(*json.loads(arguments))
    if inspect.isawaitable(answer):
        answer = asyncio.run(_awaited(answer))
    print(
        json.dumps(
            {"answer": answer, "seconds": time.process_time() - began, "megabytes": peak() - before}, default=str
        )
    )


async def _awaited(answer: Any) -> Any:
    return await answer


def told(answer: Any) -> str:
    """All that a model is told, as one text."""
    return json.dumps(answer, ensure_ascii=False, default=str)


def each(rows: dict[str, Any]) -> Iterator[Any]:
    """Rows of a table by their names."""
    for name, row in rows.items():
        yield pytest.param(row, id=name)


if __name__ == "__main__":
    _main(*sys.argv[1:])

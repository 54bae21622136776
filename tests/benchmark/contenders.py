"""What is measured in a process of its own, so that its CPU and memory are told apart from everything else.

``python -m tests.benchmark.contenders NAME one|many|queue COUNT ADDRESS...`` makes pictures and prints what it cost as
JSON. NAME is `floor`, `tool`, `previews` (the tool as it shows its runs in a chat), or the path of an older
`comfyui_tool.py`. With `one` the pictures are made one after the other on the first server, with `many` all at once
over all of them; with `queue` the first server is asked for its queue so often.
"""

import asyncio
import contextlib
import glob
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp

from tests.support import ROOT

from .beating import beating
from .floor import SIZE, StraightLine, graph_for
from .history import newest, own_seconds
from .table import Measured

OLDER = "2593f1d"  # the commit whose file all later ones are compared with
Make = Callable[[int], Awaitable[Any]]  # makes the picture of a seed

UNITS = {
    "time": ("ms", 1000.0),
    "overhead": ("ms", 1000.0),
    "CPU": ("ms", 1000.0),
    "p99": ("s", 1.0),
    "stall": ("ms", 1000.0),
    "stall, CPU": ("ms", 1000.0),
    "stall, work": ("ms", 1000.0),
    "memory": ("MB", 1e-6),
    "sockets": ("", 1.0),
}


def run_contender(name: str, how: str, count: int, urls: Sequence[str]) -> Measured:
    """What a contender measured of itself."""
    command = [sys.executable, "-m", __name__, name, how, str(count), *urls]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    measured: Measured = json.loads(done.stdout)
    return measured


@contextlib.contextmanager
def older_file(wanted: bool = True) -> Iterator[str | None]:
    """The path of `comfyui_tool.py` as it was at the older commit, if that is `wanted`; None in a copy of the
    repository without it."""
    if not wanted:
        yield None
        return
    shown = subprocess.run(
        ["git", "show", f"{OLDER}:comfyui_tool.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if shown.returncode:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "comfyui_tool.py"
        path.write_text(shown.stdout, encoding="utf-8")
        yield str(path)


class Silent:
    """Watches a run and says nothing."""

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Do nothing."""

    def preview(self, data: bytes) -> None:
        """Do nothing."""


async def nowhere(_event: Any) -> None:
    """Take an event as a page would."""


@contextlib.asynccontextmanager
async def shown(tool: Any) -> AsyncIterator[Any]:
    """What watches a run for a chat: it makes previews small and sends them, here to nobody."""
    display = tool.Display(nowhere, (), previews=True)
    display.start()
    try:
        yield display
    finally:
        await display.stop()


def loaded(path: str) -> ModuleType:
    """A `comfyui_tool.py`."""
    spec = importlib.util.spec_from_file_location("comfyui_tool", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["comfyui_tool"] = module
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def the_floor(urls: Sequence[str]) -> AsyncIterator[Make]:
    """The floor over these servers, which take turns."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, contextlib.AsyncExitStack() as stack:
        graph = await graph_for(session, urls[0])
        lines = [StraightLine(url, session, graph) for url in urls]
        for line in lines:
            await stack.enter_async_context(line.open())

        async def make(seed: int) -> bytes:
            return await lines[seed % len(lines)].make(seed)

        yield make


@contextlib.asynccontextmanager
async def the_tool(path: str, urls: Sequence[str], previews: bool = False) -> AsyncIterator[Make]:
    """A tool over these servers, without Open WebUI; with `previews` it shows the runs as in a chat."""
    tool: Any = loaded(path)
    endpoints = tuple(tool.Endpoint(url) for url in urls)
    settings = tool.Settings((), tool.Limits(), False, {})
    wanted = {"size": f"{SIZE}x{SIZE}", "steps": 2, "workflow": "checkpoint"}

    async def make_older(seed: int) -> Any:
        wish = settings.wish("a fox", seed=seed, **wanted)
        return await tool.make(wish, endpoints, tool.Limits(), Silent(), previews=False)

    async def make(seed: int) -> Any:
        fleet = tool.Fleet(endpoints, tool.Limits(), tool.Owner(), tool.Timing())
        request = settings.request("a fox", seed=seed, **wanted)
        if not previews:
            return await tool.make(request, fleet, Silent(), tool.RunOptions(previews=False))
        async with shown(tool) as display:
            return await tool.make(request, fleet, display, tool.RunOptions(previews=True))

    try:
        yield make if hasattr(tool, "RunOptions") else make_older
    finally:
        await tool.close_servers()


async def one_by_one(make: Make, count: int, url: str, first_seed: int) -> Measured:
    """So many pictures one after the other: the medians of their times, with and without the server's own, and of their
    CPU."""
    seconds: list[float] = []
    overheads: list[float] = []
    cpu: list[float] = []
    async with aiohttp.ClientSession() as session:
        for number in range(count):
            before = await newest(session, url)
            begun, cpu_before = time.perf_counter(), time.process_time()
            await make(first_seed + number)
            cpu.append(time.process_time() - cpu_before)
            seconds.append(time.perf_counter() - begun)
            overheads.append(seconds[-1] - await own_seconds(session, url, before))
    return {"time": middle(seconds), "overhead": middle(overheads), "CPU": middle(cpu)}


async def looks_at_queue(path: str, count: int, url: str) -> Measured:
    """So many looks at the queue of a server: CPU of each, and the longest stall of the event loop."""
    tool: Any = loaded(path)
    async with tool.open_server(tool.Endpoint(url)) as server, beating() as longest:
        cpu = time.process_time()
        for _ in range(count):
            await server.queue(time.monotonic())
        used = time.process_time() - cpu
    await tool.close_servers()
    return {"CPU": used / count, "stall, CPU": longest.busy}


async def all_at_once(make: Make, count: int, first_seed: int) -> Measured:
    """So many pictures at once: the time for all and the slowest but a hundredth, CPU and peak of memory for each, the
    longest stall of the event loop, and the most sockets."""
    seconds: list[float] = []
    before = memory_held()
    held, sockets = [before], [0.0]

    async def timed(seed: int) -> None:
        begun = time.perf_counter()
        await make(seed)
        seconds.append(time.perf_counter() - begun)

    def look() -> None:
        held.append(memory_held())
        sockets.append(sockets_open())

    begun, cpu_before = time.perf_counter(), time.process_time()
    async with beating(look) as longest:
        await asyncio.gather(*(timed(first_seed + number) for number in range(count)))
        total, cpu = time.perf_counter() - begun, time.process_time() - cpu_before
    return {
        "time": total / count,
        "p99": sorted(seconds)[int(len(seconds) * 0.99)],
        "CPU": cpu / count,
        "stall": longest.stall,
        "stall, CPU": longest.busy,
        "stall, work": longest.working,
        "memory": (max(*held, memory_held()) - before) / count,
        "sockets": max(sockets),
    }


def middle(values: Sequence[float]) -> float:
    """Their median."""
    return sorted(values)[len(values) // 2]


def memory_held() -> float:
    """How much memory this process has at the moment, in bytes; 0 where the system does not tell."""
    try:
        _, resident, *_ = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0.0
    return float(resident) * resource.getpagesize()


def sockets_open() -> float:
    """How many sockets this process has at the moment; 0 where the system does not tell."""
    open_files = 0
    for path in glob.iglob("/proc/self/fd/*"):
        with contextlib.suppress(OSError):
            open_files += os.readlink(path).startswith("socket:")
    return float(open_files)


async def run(name: str, how: str, count: int, urls: Sequence[str]) -> Measured:
    """What a contender costs. The first picture is not counted: everything is new then."""
    path = str(ROOT / "comfyui_tool.py") if name in ("tool", "previews") else name
    if how == "queue":
        return await looks_at_queue(path, count, urls[0])
    first_seed = time.time_ns() % 10**12
    async with the_floor(urls) if name == "floor" else the_tool(path, urls, name == "previews") as make:
        await asyncio.gather(*(make(first_seed + number) for number in range(len(urls))))
        first_seed += len(urls)
        if how == "one":
            return await one_by_one(make, count, urls[0], first_seed)
        return await all_at_once(make, count, first_seed)


if __name__ == "__main__":
    name, how, count, *urls = sys.argv[1:]
    print(json.dumps(asyncio.run(run(name, how, int(count), urls))))

"""Row 8: large files: a picture of 50 megapixels in, and one without its metadata out; ten pictures converted.

Each in this process: seconds, CPU, and the longest stall of the event loop meanwhile, as a task sees it that wants to
run every 5 ms. What is made is thrown away.
"""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Iterator

from PIL import Image

import comfyui_tool as tool

from .beating import beating
from .contenders import memory_held
from .table import Line, Measured, in_turns, lines_of

UNITS = {
    "time": ("s", 1.0),
    "CPU": ("s", 1.0),
    "stall": ("ms", 1000.0),
    "stall, CPU": ("ms", 1000.0),
    "memory": ("MB", 1e-6),
}


def png(side: int) -> bytes:
    """A picture with soft colours, as large as that."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(stream, "PNG", compress_level=1)
    return stream.getvalue()


async def watched(work: Callable[[], Awaitable[object]]) -> Measured:
    """What a piece of work costs."""
    begun, cpu, before = time.perf_counter(), time.process_time(), memory_held()
    held = [before]
    async with beating(lambda: held.append(memory_held())) as longest:
        await work()
        measured = {"time": time.perf_counter() - begun, "CPU": time.process_time() - cpu}
    stalls = {"stall": longest.stall, "stall, CPU": longest.busy}
    return {**measured, **stalls, "memory": max(*held, memory_held()) - before}


def measure(work: Callable[[], Awaitable[object]]) -> Callable[[], Measured]:
    """A contender that does this in an event loop of its own."""
    return lambda: asyncio.run(watched(work))


def lines(rounds: int, side: int = 7000, small_side: int = 1500) -> Iterator[Line]:
    """The lines of row 8."""
    large, small = png(side), png(small_side)
    stripped = tool.Format(metadata=False)
    webp = tool.Format("webp")

    async def read() -> None:
        await tool.PICTURES.run(tool.read_input, large, "a.png")

    async def strip() -> None:
        await tool.PICTURES.run(tool.deliver, tool.hold(large), "a.png", stripped)

    async def convert_ten() -> None:
        work = [tool.PICTURES.run(tool.deliver, tool.hold(small), "a.png", webp) for _ in range(10)]
        await asyncio.gather(*work)

    megapixels = f"{side * side / 1e6:.0f} megapixels"
    contenders = {
        f"{megapixels} in": measure(read),
        f"{megapixels} out, stripped": measure(strip),
        "ten pictures to WebP": measure(convert_ten),
    }
    yield from lines_of("8", in_turns(contenders, rounds), UNITS, compared=False)

"""Row 8: large files: a picture of 50 megapixels in, and one without its metadata out; a film of 300 MB without its
metadata out; ten pictures converted at once.

Each in this process: seconds, CPU, the longest stall of the event loop meanwhile, and the memory that the process has
more at its peak. What is made is thrown away. A film is read to its end, as Open WebUI does that stores it.
"""

import asyncio
import contextlib
import io
import time
from collections.abc import Awaitable, Callable, Iterator

from PIL import Image
from PIL.PngImagePlugin import PngInfo

import comfyui_tool as tool
from tests.support import ROOT

from .beating import beating
from .contenders import memory_held
from .table import Line, Measured, in_turns, lines_of

STALL_GOAL = 50.0  # ms
UNITS = {
    "time": ("s", 1.0),
    "CPU": ("s", 1.0),
    "stall": ("ms", 1000.0),
    "stall, CPU": ("ms", 1000.0),
    "memory": ("MB", 1e-6),
}


def png(side: int) -> bytes:
    """A picture with soft colours, as large as that, with the metadata that ComfyUI writes."""
    stream, about = io.BytesIO(), PngInfo()
    about.add_text("prompt", "{}")
    drawn = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    drawn.save(stream, "PNG", compress_level=1, pnginfo=about)
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


def film(megabytes: int) -> bytes:
    """A film with metadata, and behind it a box of so many zeros that players pass over."""
    clip = (ROOT / "tests" / "support" / "media" / "clip.mp4").read_bytes()
    size = 8 + megabytes * 1_000_000
    return clip + size.to_bytes(4, "big") + b"free" + bytes(size - 8)


def stored(data: tool.FileBytes) -> None:
    """Read a file as Open WebUI does, and close it."""
    with contextlib.closing(data):
        data.reader().read()


def lines(rounds: int, side: int = 7000, small_side: int = 1500, megabytes: int = 300) -> Iterator[Line]:
    """The lines of row 8."""
    large, small, movie = png(side), png(small_side), film(megabytes)
    stripped = tool.Format(metadata=False)
    webp = tool.Format("webp")

    async def read() -> None:
        await tool.PICTURES.run(tool.read_input, large, "a.png")

    async def strip() -> None:
        await tool.PICTURES.run(tool.deliver, tool.hold(large), "a.png", stripped)

    async def strip_film() -> None:
        held = await tool.PICTURES.run(tool.hold, movie)
        product, notes = await tool.PICTURES.run(tool.deliver, held, "a.mp4", stripped)
        if notes:
            raise SystemExit(f"The film keeps its metadata: {notes}")
        await tool.STORAGE.run(stored, product.data)

    async def convert_ten() -> None:
        work = [tool.PICTURES.run(tool.deliver, tool.hold(small), "a.png", webp) for _ in range(10)]
        await asyncio.gather(*work)

    megapixels = f"{side * side / 1e6:.0f} megapixels"
    contenders = {
        f"{megapixels} in": measure(read),
        f"{megapixels} out, stripped": measure(strip),
        f"{megabytes} MB of film out, stripped": measure(strip_film),
        "ten pictures to WebP": measure(convert_ten),
    }
    goals = {(name, "stall"): STALL_GOAL for name in contenders}
    yield from lines_of("8", in_turns(contenders, rounds), UNITS, goals, compared=False)

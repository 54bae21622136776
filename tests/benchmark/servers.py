"""Stand-ins for ComfyUI in processes of their own, which draw nothing: every picture is the same file.

``python -m tests.benchmark.servers --kilobytes 1000`` starts one and prints its address.
"""

import argparse
import asyncio
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from tests.support import ROOT
from tests.support.stand_in import StandIn, nodes, painting

PICTURE_KB = 1000


def picture(kilobytes: int) -> bytes:
    """A PNG of about this size: noise does not get smaller by being packed."""
    side = max(8, int((kilobytes * 1000 / 3) ** 0.5))
    stream = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def draw_nothing(file: bytes) -> None:
    """Have every stand-in of this process give out this file for each picture."""
    blank = Image.new("RGB", (8, 8))

    def decoded(*_arguments: Any) -> Image.Image:
        return blank

    def ready(*_arguments: Any) -> bytes:
        return file

    def captioned(image: Image.Image, *_arguments: Any) -> Image.Image:
        return image

    vars(nodes).update(decoded=decoded, png_file=ready)
    vars(painting).update(captioned=captioned)


@contextlib.contextmanager
def stand_ins(
    count: int, kilobytes: int = PICTURE_KB, step_seconds: Sequence[float] = (0.0,), drawing: bool = False
) -> Iterator[list[str]]:
    """So many servers, of which each takes one of these times for a step; their addresses. With `drawing` they draw
    pictures and previews as in the tests."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in range(count):
            seconds = step_seconds[number % len(step_seconds)]
            command = [sys.executable, "-m", __name__, "--kilobytes", str(kilobytes), "--step-seconds", str(seconds)]
            if drawing:
                command.append("--drawing")
            processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        yield [process.stdout.readline().strip() for process in processes if process.stdout]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def first_server(kilobytes: int = PICTURE_KB) -> Iterator[str]:
    """The server of ``COMFYUI_TEST_URL``, else one stand-in; its address."""
    url = os.environ.get("COMFYUI_TEST_URL", "").rstrip("/")
    if url:
        yield url
        return
    with stand_ins(1, kilobytes) as (own,):
        yield own


async def serve(kilobytes: int, step_seconds: float, drawing: bool) -> None:
    if not drawing:
        draw_nothing(picture(kilobytes))
    async with StandIn(step_seconds=step_seconds, preview_method="auto") as comfy:
        print(comfy.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kilobytes", type=int, default=PICTURE_KB)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--drawing", action="store_true", help="pictures and previews as in the tests")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.kilobytes, arguments.step_seconds, arguments.drawing))


if __name__ == "__main__":
    main()

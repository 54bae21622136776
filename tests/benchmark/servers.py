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
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from tests.support import ROOT
from tests.support.stand_in import StandIn, nodes, painting
from tests.support.stand_in.custom import CUSTOM_NODES
from tests.support.stand_in.server import DEFAULT_MODELS

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
    count: int, kilobytes: int = PICTURE_KB, step_seconds: Sequence[float] = (0.0,), *options: str
) -> Iterator[list[str]]:
    """So many servers, of which each takes one of these times for a step; their addresses. `options` are further ones
    of the command: with "--drawing" they draw pictures and previews as in the tests."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in range(count):
            seconds = step_seconds[number % len(step_seconds)]
            command = [sys.executable, "-m", __name__, "--kilobytes", str(kilobytes), "--step-seconds", str(seconds)]
            command += options
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


async def serve(arguments: argparse.Namespace) -> None:
    if not arguments.drawing:
        draw_nothing(picture(arguments.kilobytes))
    files = [f"model {number}.safetensors" for number in range(arguments.models)]
    models = {**DEFAULT_MODELS, "checkpoints": [*DEFAULT_MODELS["checkpoints"], *files]}
    custom = {f"CustomNode{number}": CUSTOM_NODES["VHS_VideoCombine"] for number in range(arguments.classes)}
    async with StandIn(
        step_seconds=arguments.step_seconds, preview_method="auto", models=models, custom_nodes=custom
    ) as comfy:
        await fill(comfy, arguments.done, arguments.waiting)
        print(comfy.url, flush=True)
        await asyncio.Event().wait()


async def fill(comfy: StandIn, done: int, waiting: int) -> None:
    """Have so many jobs in the history, and so many in the queue behind one that never ends."""
    if done:
        prompt_id = await comfy.post(comfy.example_graph())
        while prompt_id not in comfy.history:
            await asyncio.sleep(0.01)
        comfy.history.update({str(uuid.uuid4()): comfy.history[prompt_id] for _ in range(done - 1)})
    if waiting:
        comfy.misbehave.hold_before = "KSampler"
        await comfy.post(comfy.example_graph())
        await comfy.until_held()
        await comfy.post(comfy.example_graph())
        number, _, *rest = comfy.engine.pending[0]
        comfy.engine.pending.extend((number + more, str(uuid.uuid4()), *rest) for more in range(1, waiting))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kilobytes", type=int, default=PICTURE_KB)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--drawing", action="store_true", help="pictures and previews as in the tests")
    for name in ("models", "classes", "done", "waiting"):
        parser.add_argument(f"--{name}", type=int, default=0, help="so many that it has")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

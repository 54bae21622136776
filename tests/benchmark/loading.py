"""Row 7: executing the file, and what saving it in Open WebUI's editor costs.

- executing: CPU of a new process that imports aiohttp, pydantic and Pillow and then executes the built file, less that
  of one that only imports these.
- format: CPU of `black.format_str` with Open WebUI's mode over the built file, as its format route calls it, against
  that over the file of the older commit.
- specification: tokens that a model reads of the methods with every message, in a real Open WebUI.
- asked twice: files that Open WebUI has more after the same call, with the same seed, was made a second time.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.support import ROOT
from tests.support.open_webui import OpenWebUI

from .chat import a_picture
from .contenders import OLDER, older_file
from .in_webui import both_installed, some_open_webui
from .servers import stand_ins
from .table import Line, Measured, in_turns, lines_of

IMPORTS = "import aiohttp, pydantic, PIL.Image, time\n"
CPU = "print(time.process_time())"
EXECUTE = (
    "source = open({path!r}, encoding='utf-8').read()\nexec(compile(source, {path!r}, 'exec'), {{'__name__': 'x'}})\n"
)
FORMAT = """
import black
source = open({path!r}, encoding="utf-8").read()
begun = time.process_time()
try:
    black.format_file_contents(source, fast=True, mode=black.Mode())
except black.NothingChanged:
    pass
print(time.process_time() - begun)
"""
UNITS = {"executing, CPU": ("s", 1.0), "format, CPU": ("s", 1.0)}
GOALS = {("this tool", "format, CPU"): 0.2}
MOST_TOKENS = 1500.0
CHARACTERS_OF_TOKEN = 3.74  # of such JSON, measured with cl100k


def cpu_of(script: str) -> float:
    """What a script prints at its end: seconds of CPU."""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure(path: str) -> Measured:
    """What a file costs."""
    module = "import sys, types; sys.modules['x'] = types.ModuleType('x')\n"
    executing = cpu_of(IMPORTS + module + EXECUTE.format(path=path) + CPU) - cpu_of(IMPORTS + CPU)
    return {"executing, CPU": executing, "format, CPU": cpu_of(IMPORTS + FORMAT.format(path=path))}


def lines(
    rounds: int,
    file: Path = ROOT / "comfyui_tool.py",
    older: bool = True,
    installed: bool = True,
    webui: OpenWebUI | None = None,
) -> Iterator[Line]:
    """The lines of row 7; those of an Open WebUI only where it is to be `installed`, too. Formatting takes long, so at
    most two rounds."""
    with older_file(older) as path:
        contenders = {OLDER: partial(measure, path)} if path else {}
        contenders["this tool"] = partial(measure, str(file))
        yield from lines_of("7", in_turns(contenders, min(rounds, 2)), UNITS, GOALS)
    if installed:
        yield from lines_in_open_webui(webui)


def lines_in_open_webui(webui: OpenWebUI | None = None) -> Iterator[Line]:
    """The lines of row 7 that need an Open WebUI."""
    with stand_ins(1, kilobytes=20) as (url,), some_open_webui(webui) as running:
        read, stored = asyncio.run(tokens_and_files(running, url))
    yield Line("7, specification", "this tool", [read], "tokens", goal=MOST_TOKENS)
    yield Line("7, asked twice", "this tool", [stored], "more files", goal=0.0)


async def tokens_and_files(webui: OpenWebUI, url: str) -> tuple[float, float]:
    """The tokens of the specification, and the files that the second of two equal calls stored."""
    async with both_installed(webui, url) as model:
        methods = await webui.specification("comfyui")
        call = a_picture(steps=2)
        held: list[int] = []
        for _ in range(2):
            model.script([call], then="Done.")
            turn = await webui.turn("Please", tools=["comfyui"], timeout=300)
            if not turn.files:
                raise SystemExit(f"No picture came: {turn.tool_results}")
            held.append(len(await webui.files(await webui.admin())))
    sent = json.dumps([{"type": "function", "function": method} for method in methods])
    return len(sent) / CHARACTERS_OF_TOKEN, float(held[1] - held[0])

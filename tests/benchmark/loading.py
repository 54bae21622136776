"""Row 7: executing the file, and what saving it in Open WebUI's editor costs.

- executing: CPU of a new process that imports aiohttp, pydantic and Pillow and then executes the built file, less that
  of one that only imports these.
- format: CPU of `black.format_str` with Open WebUI's mode over the built file, as its format route calls it, against
  that over the file of the older commit.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.support import ROOT

from .contenders import OLDER, older_file
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


def cpu_of(script: str) -> float:
    """What a script prints at its end: seconds of CPU."""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure(path: str) -> Measured:
    """What a file costs."""
    module = "import sys, types; sys.modules['x'] = types.ModuleType('x')\n"
    executing = cpu_of(IMPORTS + module + EXECUTE.format(path=path) + CPU) - cpu_of(IMPORTS + CPU)
    return {"executing, CPU": executing, "format, CPU": cpu_of(IMPORTS + FORMAT.format(path=path))}


def lines(rounds: int, file: Path = ROOT / "comfyui_tool.py", older: bool = True) -> Iterator[Line]:
    """The lines of row 7. It takes long, so at most two rounds."""
    with older_file(older) as path:
        contenders = {OLDER: partial(measure, path)} if path else {}
        contenders["this tool"] = partial(measure, str(file))
        yield from lines_of("7", in_turns(contenders, min(rounds, 2)), UNITS, GOALS)

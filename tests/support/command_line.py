"""The tool run as a command, as a person runs it."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import comfyui_tool as tool


async def start(*arguments: str, cwd: Path, **streams: Any) -> asyncio.subprocess.Process:
    """Start `comfyui_tool.py` with these arguments; what it writes comes over pipes unless `streams` say otherwise."""
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE, **streams}
    # Whoever starts the tests in the background has them ignore Ctrl-C, and a child would inherit that.
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return await asyncio.create_subprocess_exec(sys.executable, tool.__file__, *arguments, cwd=cwd, **pipes)


async def command(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Run it to its end: exit status, output, errors."""
    process = await start(*arguments, cwd=cwd)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()

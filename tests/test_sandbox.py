"""The sandbox, which the README names first: one message sent and shown, everything stopped by Ctrl-C, wrong calls."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.open_webui


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.sandbox", *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_once_shows_the_timeline_and_saves_the_picture(tmp_path: Path) -> None:
    target = tmp_path / "lighthouse.png"
    process = await start("--once", "a lighthouse at dusk", "-o", str(target), "--step-seconds", "0.1")
    out, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, out.decode()
    assert Image.open(target).size == (1024, 1024)
    for told in ("Created the tool", "Connecting to ComfyUI", "preview image/jpeg", "Done in ", f"Saved {target}"):
        assert told in out.decode()


async def test_once_without_a_picture_is_a_failure_that_says_why(tmp_path: Path) -> None:
    async with StandIn(models={}) as comfy:
        process = await start("--once", "a fox", "-o", str(tmp_path / "x.png"), COMFYUI_BASE_URL=comfy.url)
        out, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 1, out.decode()
    assert "There is no picture." in out.decode()
    assert "model_not_installed" in out.decode()
    assert not list(tmp_path.iterdir())


async def test_ctrl_c_stops_everything() -> None:
    process = await start("--port", "18099")
    assert process.stdout
    async with asyncio.timeout(120):
        while "Ctrl-C" not in (await process.stdout.readline()).decode():
            assert process.returncode is None
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out.decode().strip()) == (0, "Stopped.")
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", 18099)


@pytest.mark.parametrize("arguments", [["--once", " "], ["--port", "0"], ["-o", "x.png"], ["--release", "9.9"]])
async def test_a_wrong_call_is_exit_status_two(arguments: list[str]) -> None:
    process = await start(*arguments)
    await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2

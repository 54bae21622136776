"""The pictures in the documentation, taken from Open WebUI's own page: ``python -m tests.support.screenshots``.

A real Open WebUI, a scripted model and the stand-in for ComfyUI make a picture, and then a user paints where it is to
change. Two pictures are written into docs: ``screenshot.png`` (on its way, and done), ``painting.png`` (the editor).
"""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.support import ROOT
from tests.support.browser import MISSING, Browser, find_chromium
from tests.support.chats import installed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI, running_open_webui
from tests.support.stand_in import StandIn

DOCS = ROOT / "docs"
WIDTH, HEIGHT = 700, 820  # of the page, in pixels
GAP, GREY = 12, (216, 216, 216)  # between two pages side by side
COLOURS = 128  # of a picture, so that it stays small
LIGHTHOUSE = {"prompt": "a lighthouse at dusk, calm sea, warm light", "size": "960x560", "seed": 2781, "steps": 24}
PAINTED = ((0.10, 0.08), (0.40, 0.10), (0.70, 0.07), (0.92, 0.12), (0.70, 0.18), (0.30, 0.20), (0.10, 0.16))


async def take(webui: OpenWebUI, model: ModelServer, folder: Path) -> None:
    """Take the pictures of the page, into a folder."""
    user = await webui.user("ann")
    async with Browser(webui.url, user.token, width=WIDTH, height=HEIGHT) as browser:
        model.script([ToolCall("generate_image", LIGHTHOUSE)], then="Here is your lighthouse. Shall I make it foggier?")
        await browser.chat("Paint me a lighthouse at dusk")
        await browser.wait_for_status(re.compile(r"[78]\d% · \d+ s left"))
        await browser.screenshot(folder / "on-its-way.png")
        await browser.wait_until_done()
        await browser.wait_for_pictures(1)
        await browser.page.wait_for_timeout(1000)  # until the page has scrolled to the buttons
        await browser.screenshot(folder / "done.png")
        model.script([ToolCall("edit_image", {"prompt": "a sky full of stars", "mask": "paint"})], then="Done.")
        await browser.chat("Put stars into the sky, I'll show you where")
        mask = browser.page.locator("dialog[open] canvas.mask:not([width='0'])")
        await mask.wait_for(timeout=30_000)
        box = await mask.bounding_box()
        assert box
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in PAINTED]
        await browser.page.mouse.move(*points[0])
        await browser.page.mouse.down()
        for point in points[1:]:
            await browser.page.mouse.move(*point, steps=4)
        await browser.page.mouse.up()
        await browser.screenshot(folder / "painting.png")
        await browser.page.keyboard.press("Escape")
        await browser.wait_until_done()


def write(path: Path, *pages: Path) -> None:
    """Write pictures of the page side by side as one small PNG."""
    shots = [Image.open(page).convert("RGB") for page in pages]
    width = sum(shot.width for shot in shots) + GAP * (len(shots) - 1)
    whole = Image.new("RGB", (width, max(shot.height for shot in shots)), GREY)
    left = 0
    for shot in shots:
        whole.paste(shot, (left, 0))
        left += shot.width + GAP
    whole.quantize(COLOURS).save(path, "PNG", optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KB")


async def main() -> None:
    """Take the pictures and write them into docs/."""
    with tempfile.TemporaryDirectory() as folder_name, running_open_webui() as webui:
        folder = Path(folder_name)
        async with StandIn(step_seconds=0.5) as comfy, installed(webui, comfy) as model:
            await webui.set_default_tools(["comfyui"])
            await take(webui, model, folder)
        write(DOCS / "screenshot.png", folder / "on-its-way.png", folder / "done.png")
        write(DOCS / "painting.png", folder / "painting.png")


if __name__ == "__main__":
    if find_chromium() is None:
        sys.exit(MISSING)
    asyncio.run(main())

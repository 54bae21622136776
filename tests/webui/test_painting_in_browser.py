"""The editor for masks on Open WebUI's own page, in Chromium, with real strokes, fingers, a pen and keys.

With SCREENSHOTS set to a folder, each test leaves there what it saw.
"""

import io
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.async_api import WebSocketRoute, expect

import comfyui_tool as tool
from tests.support.browser import MISSING, STOP, Browser, find_chromium
from tests.support.chats import installed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.painting import uri
from tests.support.stand_in import StandIn
from tests.webui.test_browser import shoot

pytestmark = [
    pytest.mark.open_webui,
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]
PAINT = {"prompt": "a red door", "mask": "paint", "workflow": "checkpoint-inpaint"}
EDITOR, MASK = "dialog[open]", "canvas.mask"
TEAL = (0, 128, 128)
Place = tuple[float, float]  # in the picture, from 0 to 1


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.0) as server:
        yield server


@pytest.fixture
async def model(webui: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(webui, comfy, switched_on=True) as server:
        yield server


def photo() -> bytes:
    picture = Image.new("RGB", (600, 400), TEAL)
    ImageDraw.Draw(picture).ellipse((200, 100, 400, 300), fill="gold")
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


class Hand:
    """Somebody at the editor that is open."""

    def __init__(self, browser: Browser) -> None:
        self.page = browser.page

    async def at(self, place: Place) -> Place:
        """Where a place of the picture is on the screen."""
        box = await self.page.locator(MASK).bounding_box()
        assert box
        return box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"]

    async def stroke(self, *places: Place, button: Any = "left") -> None:
        """Draw with the mouse."""
        points = [await self.at(place) for place in places]
        await self.page.mouse.move(*points[0])
        await self.page.mouse.down(button=button)
        for point in points:
            await self.page.mouse.move(*point, steps=2)
        await self.page.mouse.up(button=button)

    async def wheel(self, place: Place, by: float) -> None:
        await self.page.mouse.move(*await self.at(place))
        before = await self.page.locator(MASK).bounding_box()
        await self.page.mouse.wheel(0, by)
        while await self.page.locator(MASK).bounding_box() == before:
            await self.page.wait_for_timeout(10)

    async def key(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def click(self, name: str) -> None:
        await self.page.locator(f"{EDITOR} button", has_text=name).click(timeout=5000)

    async def pen(self, *places: Place, eraser: bool = False) -> None:
        """Draw with a pen, or with its other end."""
        events = [*await self._pointer("pen", places, 5 if eraser else 0, 32 if eraser else 1)]
        await self.page.locator(MASK).evaluate(SEND_POINTERS, events)

    async def _pointer(self, kind: str, places: tuple[Place, ...], button: int, buttons: int) -> Any:
        points = [await self.at(place) for place in places]
        shared = {"pointerType": kind, "pointerId": 1, "bubbles": True, "composed": True}
        events = [["pointerdown", {"button": button, "buttons": buttons}, points[0]]]
        events += [["pointermove", {"button": -1, "buttons": buttons}, point] for point in points]
        events.append(["pointerup", {"button": button, "buttons": 0}, points[-1]])
        return [[name, {**shared, **about, "clientX": x, "clientY": y}] for name, about, (x, y) in events]

    async def touch(self, *moments: tuple[Place, ...]) -> None:
        """Put fingers on the screen and move them; each moment tells where they are, in pixels of the screen."""
        session = await self.page.context.new_cdp_session(self.page)
        before = 0
        for moment in (*moments, ()):
            kind = "touchMove" if len(moment) == before else "touchStart" if moment else "touchEnd"
            points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(moment)]
            await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            before = len(moment)
        await session.detach()


# Sent as a pen would send them; a pointer that there is not cannot be captured.
SEND_POINTERS = """(canvas, events) => {
    const area = canvas.closest("main");
    area.setPointerCapture = () => {};
    for (const [name, about] of events) canvas.dispatchEvent(new PointerEvent(name, about));
    delete area.setPointerCapture;
}"""


async def run(browser: Browser, code: str) -> Any:
    """What a script of the tool returns, run as Open WebUI's page runs it."""
    return await browser.page.evaluate("code => new Function(`return (async () => { ${code} })()`)()", code)


async def start(browser: Browser, dialog: str, **request: Any) -> None:
    """Open a dialog alone, without a call."""
    about = {"id": "e", "chat": "c", "patience": 60, "language": "en", "words": tool.dialog_words("en"), **request}
    assert await run(browser, f"{tool.DIALOG}{dialog}\nreturn start({json.dumps(about)});") == "open"


async def open_editor(browser: Browser, **request: Any) -> Hand:
    """The editor with its picture."""
    await start(browser, tool.MASK_EDITOR, **{"url": uri(photo()), "side": 2048, **request})
    await browser.page.locator(f"{MASK}:not([width='0'])").wait_for(timeout=5000)
    return Hand(browser)


async def told(browser: Browser) -> Any:
    """What the page tells when it is asked how far the user is."""
    return await run(browser, tool.ASK_DIALOG.replace("ID", '"e"'))


async def has_state(browser: Browser, state: str) -> None:
    """Wait until the dialog is in this state."""
    await browser.page.wait_for_function(f"() => window.comfyuiDialog.poll().state === '{state}'", timeout=5000)


async def sent_mask(browser: Browser) -> Image.Image:
    """The mask that the page sends, once the user is done; the editor is closed then."""
    answer = await told(browser)
    assert answer["state"] == "done"
    await run(browser, tool.CLOSE_DIALOG.replace("ID", '"e"'))
    assert await browser.page.locator("dialog").count() == 0
    return tool.read_painted(answer["answer"])


def is_white(mask: Image.Image, place: Place) -> bool:
    value = mask.getpixel((int(place[0] * mask.width), int(place[1] * mask.height)))
    assert isinstance(value, int)
    return value > 127


LEFT, MIDDLE, RIGHT, TOP, CORNER = (0.25, 0.5), (0.5, 0.5), (0.75, 0.5), (0.5, 0.2), (0.97, 0.03)


async def a_stroke(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)


async def a_dot(hand: Hand) -> None:
    await hand.stroke(MIDDLE)


async def erased(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.click("Eraser")
    await hand.stroke(TOP, MIDDLE)
    await hand.click("Brush")
    await hand.stroke(TOP)


async def erased_by_key(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.key("e")
    await hand.stroke(MIDDLE)
    await hand.key("b")
    await hand.stroke(TOP)


async def undone(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.stroke(TOP)
    await hand.stroke(CORNER)
    await hand.key("Control+z")
    await hand.click("Undo")


async def cleared(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.click("Clear")
    await hand.stroke(TOP)


async def cleared_and_undone(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.click("Clear")
    await hand.key("Control+z")


async def inverted(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.click("Invert")


async def inverted_by_key(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.key("i")
    await hand.key("e")
    await hand.stroke(TOP)


async def with_a_large_brush(hand: Hand) -> None:
    await hand.key(*"]" * 20)
    await hand.stroke(MIDDLE)


async def zoomed(hand: Hand) -> None:
    """Four times as large, the brush covers a quarter."""
    await hand.wheel(MIDDLE, -555)
    await hand.stroke(MIDDLE)


async def zoomed_and_moved(hand: Hand) -> None:
    await hand.wheel(MIDDLE, -555)
    await hand.stroke(MIDDLE, (0.4, 0.45), button="middle")
    await hand.key("0")
    await hand.stroke(LEFT)


async def with_a_pen(hand: Hand) -> None:
    await hand.pen(LEFT, RIGHT)
    await hand.pen(MIDDLE, eraser=True)


async def by_keys(hand: Hand) -> None:
    """From the middle to the right with the brush down, then to the top with it lifted."""
    await hand.key("Space", *["ArrowRight"] * 21, "Space", *["ArrowUp"] * 12)


async def erased_by_keys(hand: Hand) -> None:
    await hand.stroke(LEFT, RIGHT)
    await hand.key("e", "Space", "Shift+ArrowRight", "Space", "b")


NEAR = (0.516, 0.5)  # under the brush that painted in the middle, but not after zooming
FAR = (0.5, 0.42)  # under a large brush only
TOOLS: dict[str, tuple[Any, set[Place]]] = {
    "a stroke": (a_stroke, {LEFT, MIDDLE, RIGHT, NEAR}),
    "a dot": (a_dot, {MIDDLE, NEAR}),
    "the eraser": (erased, {LEFT, RIGHT, TOP}),
    "the eraser by its key": (erased_by_key, {LEFT, RIGHT, TOP}),
    "undo": (undone, {LEFT, MIDDLE, RIGHT, NEAR}),
    "clear": (cleared, {TOP}),
    "clear, undone": (cleared_and_undone, {LEFT, MIDDLE, RIGHT, NEAR}),
    "invert": (inverted, {TOP, CORNER, FAR}),
    "invert by its key": (inverted_by_key, {CORNER, FAR}),
    "a large brush": (with_a_large_brush, {MIDDLE, NEAR, FAR}),
    "zoom": (zoomed, {MIDDLE}),
    "zoom and back": (zoomed_and_moved, {LEFT}),
    "a pen": (with_a_pen, {LEFT, RIGHT}),
    "the arrow keys": (by_keys, {MIDDLE, RIGHT, NEAR}),
    "the arrow keys with the eraser": (erased_by_keys, {LEFT, RIGHT}),
}
LOOKED_AT = {LEFT, MIDDLE, RIGHT, TOP, CORNER, NEAR, FAR}


async def test_the_tools_and_keys_of_the_editor(webui: OpenWebUI) -> None:
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        for name, (work, white) in TOOLS.items():
            hand = await open_editor(browser)
            await work(hand)
            await hand.key("Enter")
            mask = await sent_mask(browser)
            assert mask.size == (600, 400)
            assert {place for place in LOOKED_AT if is_white(mask, place)} == white, name
        hand = await open_editor(browser, side=100)
        await hand.key("Enter")
        assert await told(browser) == {"state": "open"}
        await browser.page.get_by_text("Nothing is painted yet").wait_for(timeout=5000)
        await hand.stroke(LEFT, RIGHT)
        await hand.click("Done")
        assert (await sent_mask(browser)).size == (100, 67)
        hand = await open_editor(browser)
        await hand.stroke(LEFT, RIGHT)
        await hand.key("Escape")
        await has_state(browser, "cancelled")
        hand = await open_editor(browser)
        await hand.stroke(LEFT)
        await hand.key("Tab", "Tab", "Enter")  # on a button Enter presses it
        assert await told(browser) == {"state": "open"}
        await hand.key("Escape")
        await start(browser, tool.MASK_EDITOR, url="/nothing")
        await has_state(browser, "failed")
        await run(browser, "window.comfyuiDialog.close()")

        # On a phone one finger paints, and two zoom.
        await browser.page.set_viewport_size({"width": 390, "height": 760})
        hand = await open_editor(browser)
        x, y = await hand.at(MIDDLE)
        await hand.touch(((x - 20, y),), ((x - 20, y), (x + 20, y)), ((x - 80, y), (x + 80, y)))
        assert (box := await browser.page.locator(MASK).bounding_box())
        assert box["width"] == pytest.approx(4 * 390, rel=0.1)
        await hand.touch(((x, y),), ((x + 2, y),))
        await shoot(browser, "phone")
        for name in ("Brush", "Eraser", "Undo", "Clear", "Invert", "Cancel", "Done"):
            assert (place := await browser.page.locator(f"{EDITOR} button", has_text=name).bounding_box())
            assert 0 <= place["x"] <= 390 - place["width"]
            assert place["y"] <= 760 - place["height"]
        await hand.click("Done")
        mask = await sent_mask(browser)
        assert {place for place in LOOKED_AT if is_white(mask, place)} == {MIDDLE}
        await browser.page.locator("#chat-input").click(timeout=5000)  # no swipe has opened the sidebar over it


SCREENS = {
    "a phone": (390, 760),
    "a small phone": (320, 568),
    "a phone on its side": (844, 330),
    "a page zoomed to 200%": (640, 450),
    "a page zoomed to 400%": (320, 225),
}


async def test_the_dialogs_fit_every_screen(webui: OpenWebUI) -> None:
    pictures = [{"number": number, "url": uri(photo()), "name": "photo.png"} for number in range(1, 9)]
    names = [f"SDXL/{'long-name-' * 8}{number}.safetensors" for number in range(12)]
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:

        async def is_seen(name: str) -> None:
            button = browser.page.locator(EDITOR).get_by_role("button", name=name)
            await expect(button.first).to_be_in_viewport(ratio=1)

        for screen, (width, height) in SCREENS.items():
            await browser.page.set_viewport_size({"width": width, "height": height})
            hand = await open_editor(browser)
            box = await browser.page.locator(f"{EDITOR} main").bounding_box()
            assert box, screen
            assert box["height"] > 0.5 * height, screen
            await shoot(browser, f"editor-{width}")
            await is_seen("Done")
            await hand.key("Shift+Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab")  # back from behind Done and Cancel
            await expect(browser.page.locator(f"{EDITOR} :focus")).to_be_in_viewport(ratio=1)
            await start(browser, tool.NAME_CHOICE, question="Which one?", names=names, left=28, minutes=2)
            await is_seen("Cancel")
            assert (shown := await browser.page.locator(f"{EDITOR} main").bounding_box())
            assert shown["height"] > 40, screen
            await start(browser, tool.PICTURE_CHOICE, question="Which one?", pictures=pictures)
            await is_seen("Cancel")
            await run(browser, "window.comfyuiDialog.close()")


async def test_a_screen_reader_is_told_what_is_there_and_which_keys_there_are(webui: OpenWebUI) -> None:
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await open_editor(browser)
        editor = browser.page.get_by_role("dialog", name="Paint over what is to change")
        area = editor.get_by_role("application", name="The arrow keys move the brush")
        await expect(area).to_be_focused()
        changes = """async (status) => {
            let seen = 0;
            new MutationObserver((all) => { seen += all.length; }).observe(status, { childList: true, subtree: true });
            await new Promise((resolve) => setTimeout(resolve, 2500));
            return seen;
        }"""
        assert await editor.get_by_role("status").evaluate(changes) == 0, "what is put there is said again"
        await expect(editor.get_by_role("slider", name="Size")).to_have_value("40")
        await expect(editor.get_by_role("button", name="Brush", pressed=True)).to_have_attribute("title", "B")
        await expect(editor.get_by_role("button", name="Done")).to_have_attribute("aria-keyshortcuts", "Enter")
        await browser.page.keyboard.press("Enter")
        await expect(editor.get_by_role("status")).to_have_text("Nothing is painted yet")


async def test_a_page_to_which_nobody_listens_any_more_says_so_and_keeps_what_was_painted(webui: OpenWebUI) -> None:
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        for leave in ("click", "Escape", "Enter"):
            hand = await open_editor(browser, patience=1)
            await hand.stroke(LEFT, RIGHT)
            await expect(browser.page.locator(EDITOR)).to_contain_text(
                "the chat went on without an answer", timeout=9000
            )
            assert await told(browser) == {"state": "gone"}
            await shoot(browser, "lost")
            await (hand.click("Close") if leave == "click" else hand.key(leave))
            await browser.page.locator("dialog").wait_for(state="detached", timeout=5000)
        hand = await open_editor(browser)
        await hand.stroke(TOP)
        await hand.key("Control+z", "Control+z", "Control+z", "Enter")
        mask = await sent_mask(browser)
        assert {place for place in LOOKED_AT if is_white(mask, place)} == {LEFT, MIDDLE, RIGHT, NEAR}
        hand = await open_editor(browser)
        await hand.key("Enter")
        await browser.page.get_by_text("Nothing is painted yet").wait_for(timeout=5000)  # what was sent is not kept


class Line:
    """The connection of a page to Open WebUI, that breaks and comes back."""

    def __init__(self) -> None:
        self.broken = False
        self._open: list[WebSocketRoute] = []

    async def put_into(self, browser: Browser) -> None:
        await browser.page.context.route_web_socket(re.compile("/ws/socket.io/"), self._connect)
        await browser.page.reload()
        await browser.page.locator("#chat-input").wait_for(timeout=20_000)

    async def tear(self) -> None:
        self.broken = True
        for side in self._open:
            await side.close()
        self._open.clear()

    async def _connect(self, page: WebSocketRoute) -> None:
        if self.broken:
            await page.close()
        else:
            self._open += [page, page.connect_to_server()]


@pytest.mark.skipif("COMFYUI_TEST_SLOW" not in os.environ, reason="half a minute: set COMFYUI_TEST_SLOW to run it")
async def test_painting_outlives_a_connection_that_breaks(webui: OpenWebUI, model: ModelServer, tmp_path: Path) -> None:
    line = Line()
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await line.put_into(browser)
        await begin(browser, model, tmp_path)
        editor, hand = browser.page.locator(EDITOR), Hand(browser)
        await hand.stroke((0.7, 0.2), (0.9, 0.2))
        await line.tear()
        await expect(editor).to_contain_text("The connection to Open WebUI is interrupted", timeout=20_000)
        await shoot(browser, "interrupted")
        await hand.stroke((0.9, 0.2), (0.9, 0.8))
        line.broken = False
        await expect(editor).to_contain_text("Two fingers or the wheel zoom", timeout=30_000)
        await hand.key("Enter")
        await editor.wait_for(state="detached", timeout=20_000)
        await browser.wait_for_pictures(1)


async def test_a_picture_is_chosen_by_a_click_or_by_its_number(webui: OpenWebUI) -> None:
    pictures = [{"number": number, "url": uri(photo()), "name": "<b>photo</b>.png"} for number in (3, 4)]
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        for choose in (Hand(browser).key("1", "4"), Hand(browser).click("4 <b>photo</b>.png")):
            await start(browser, tool.PICTURE_CHOICE, question="Which one?", pictures=pictures)
            await browser.page.locator(f"{EDITOR} canvas[height='160']").nth(1).wait_for(timeout=5000)
            await shoot(browser, "choice")
            await choose
            assert await told(browser) == {"state": "done", "answer": 4}
            await run(browser, tool.CLOSE_DIALOG.replace("ID", '"e"'))


async def test_the_user_paints_and_only_that_changes_now_and_again(
    webui: OpenWebUI, model: ModelServer, tmp_path: Path
) -> None:
    bob = await webui.user("bob")
    async with Browser(webui.url, bob.token) as browser:

        async def changed() -> set[Place]:
            (result,) = await browser.wait_for_pictures(1)
            data = await webui.download(result.address.split("/")[-2], user=bob)
            with Image.open(io.BytesIO(data)) as picture:
                made = picture.convert("RGB")
            places = ((0.8, 0.2), (0.9, 0.6), (0.2, 0.2))
            return {place for place in places if made.getpixel((int(place[0] * 600), int(place[1] * 400))) != TEAL}

        await begin(browser, model, tmp_path)
        hand = Hand(browser)
        await browser.wait_for_status("Waiting for you to paint")
        await hand.stroke((0.7, 0.2), (0.9, 0.2), (0.9, 0.8))
        await shoot(browser, "painted")
        await hand.key("Enter")
        assert await changed() == {(0.8, 0.2), (0.9, 0.6)}
        await browser.wait_until_done()
        model.script([ToolCall("edit_image", {**PAINT, "images": ["1"], "mask": "same"})], then="Here.")
        await browser.chat("The same mask, but blue")
        assert await changed() == {(0.8, 0.2), (0.9, 0.6)}
        assert browser.refused == []


async def test_stop_in_another_tab_closes_the_editor_and_so_does_leaving_the_chat(
    webui: OpenWebUI, model: ModelServer, tmp_path: Path
) -> None:
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await begin(browser, model, tmp_path)
        other = await browser.page.context.new_page()
        await other.goto(browser.page.url)
        stop = other.locator(STOP)
        await stop.wait_for(timeout=20_000)
        assert await other.locator("dialog").count() == 0, "the editor is where the message was sent"
        await stop.click()
        await browser.page.locator(EDITOR).wait_for(state="detached", timeout=5000)
        await browser.wait_for_status("Stopped")
        await other.close()
        await begin(browser, model)
        await browser.page.evaluate("document.querySelector('a[href=\"/\"]').click()")
        await browser.page.locator(EDITOR).wait_for(state="detached", timeout=5000)


async def begin(browser: Browser, model: ModelServer, folder: Path | None = None) -> None:
    """Ask for an edit for which the user paints, with a picture if there is a folder for it; the editor is open."""
    model.script([ToolCall("edit_image", PAINT)], then="Here.")
    attached = []
    if folder:
        attached.append(folder / "photo.png")
        attached[0].write_bytes(photo())
    await browser.chat("I'll show you where", attach=attached)
    await browser.page.locator(f"{EDITOR} {MASK}:not([width='0'])").wait_for(timeout=20_000)

"""What a run shows in its message while it lasts: texts and previews, seldom enough for a chat, and small."""

import asyncio
import base64
import gc
import itertools
import weakref
from typing import Any

import pytest
from PIL import Image

import comfyui_tool as tool
from tests.support.pictures import opened, saved
from tests.support.watching import Page


def jpeg(side: int = 512, colour: str = "red") -> bytes:
    return saved(Image.new("RGB", (side, side // 2), colour), "JPEG")


def noise() -> bytes:
    return saved(Image.effect_noise((512, 512), 90).convert("RGB"), "JPEG", quality=95)


# --- what is told, and when ---


async def test_texts_of_one_phase_are_told_seldom_and_the_newest_wins(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "STATUS_SECONDS", 0.2)
    display = tool.Display(page, [], True)
    display.start()
    for percent in range(50):
        display.status("running", f"{percent} %")
        await asyncio.sleep(0.01)
    await display.stop()
    assert 3 <= len(page.texts) <= 5
    assert len(set(page.texts)) == len(page.texts)


async def test_a_new_phase_is_told_at_once(page: Page) -> None:
    display = tool.Display(page, [], True)
    display.start()
    for phase in ("connecting", "waiting", "loading", "running", "saving"):
        display.status(phase, phase)
        await asyncio.sleep(0.02)
    await display.stop()
    assert page.texts == ["connecting", "waiting", "loading", "running", "saving"]


async def test_a_new_phase_that_comes_while_a_text_is_sent_is_told_next() -> None:
    page = Page(slow=0.1)
    display = tool.Display(page, [], True)
    display.start()
    display.status("loading", "Loading the model")
    await asyncio.sleep(0.05)
    display.status("saving", "Saving")
    await asyncio.sleep(0.3)
    await display.stop()
    assert page.texts == ["Loading the model", "Saving"]


async def test_an_unchanged_text_is_not_told_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "STATUS_SECONDS", 0.01)
    display = tool.Display(page, [], True)
    display.start()
    for _ in range(5):
        display.status("waiting", "Waiting, 3 ahead")
        await asyncio.sleep(0.02)
    await display.stop()
    assert page.texts == ["Waiting, 3 ahead"]


async def test_previews_come_after_the_real_files_and_replace_one_another(page: Page) -> None:
    real = {"type": "image", "id": "1", "url": "/api/v1/files/1/content"}
    display = tool.Display(page, [real], True)
    display.start()
    for colour in ("red", "blue"):
        display.preview(jpeg(colour=colour))
        await asyncio.sleep(0.65)
    await display.stop()
    assert [[file["url"][:15] for file in files] for _, files in page.previews] == [
        [real["url"][:15], "data:image/jpeg"]
    ] * 2


async def test_there_are_at_most_two_previews_a_second_and_the_newest_wins(page: Page) -> None:
    display = tool.Display(page, [], True)
    display.start()
    for shade in range(60):
        display.preview(jpeg(colour=f"rgb({shade * 4},0,0)"))
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    await display.stop()
    times = [at for at, _ in page.previews]
    assert 2 <= len(times) <= 4
    assert all(later - earlier >= 0.45 for earlier, later in itertools.pairwise(times))
    last = page.previews[-1][1][0]["url"].partition(",")[2]
    assert opened(base64.b64decode(last)).getpixel((5, 5))[0] > 220


async def test_a_slow_chat_holds_nothing_up_and_an_event_that_fails_is_passed_over() -> None:
    page = Page(slow=0.05)

    async def failing(event: dict[str, Any]) -> None:
        await page(event)
        if len(page.events) == 1:
            raise ConnectionError

    display = tool.Display(failing, [], True)
    display.start()
    for phase in "abc":
        display.status(phase, phase)
        await asyncio.sleep(0.12)
    await display.stop()
    assert page.texts == ["a", "b", "c"]


async def test_after_the_end_nothing_waits_for_the_garbage_collection(page: Page) -> None:
    display = tool.Display(page, [], True)
    display.start()
    display.status("running", "18 %")
    await asyncio.sleep(0.02)
    await display.stop()
    gone = weakref.ref(display)
    gc.disable()
    try:
        del display
        await asyncio.sleep(0)
        assert gone() is None, "a ring of objects holds it"
    finally:
        gc.enable()


async def test_nothing_is_shown_after_the_end(page: Page) -> None:
    display = tool.Display(page, [], True)
    display.start()
    await display.stop()
    display.preview(jpeg())
    display.status("running", "50 %")
    await asyncio.sleep(0.1)
    assert not page.events


# --- previews ---


@pytest.mark.parametrize("data", [jpeg(64), jpeg(512), jpeg(2000), noise()], ids=["small", "usual", "large", "noise"])
def test_a_preview_is_shrunk_to_a_small_jpeg(data: bytes) -> None:
    url = tool.shrink_preview(data)
    assert url is not None
    kind, _, encoded = url.partition(",")
    small = opened(base64.b64decode(encoded))
    assert kind == "data:image/jpeg;base64"
    assert max(small.size) <= 512
    assert len(base64.b64decode(encoded)) <= 1.2 * tool.PREVIEW_BYTES


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", jpeg()[:100], b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_a_preview_that_is_not_a_picture_is_left_out(data: bytes) -> None:
    assert tool.shrink_preview(data) is None

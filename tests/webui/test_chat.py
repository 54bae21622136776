"""Room 9 as far as it goes without Open WebUI: what is shown, when, and what is left at the end."""

import asyncio
import base64
import io
import itertools
import sys
from typing import Any

import pytest
from PIL import Image

import comfyui_tool as tool


def jpeg(side: int = 512, colour: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side // 2), colour).save(stream, "JPEG")
    return stream.getvalue()


def noise() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((512, 512), 90).convert("RGB").save(stream, "JPEG", quality=95)
    return stream.getvalue()


class Page:
    """Takes events as a browser would."""

    def __init__(self, slow: float = 0.0) -> None:
        self.events: list[tuple[float, str, dict[str, Any]]] = []
        self.slow = slow

    async def __call__(self, event: dict[str, Any]) -> None:
        await asyncio.sleep(self.slow)
        self.events.append((asyncio.get_running_loop().time(), event["type"], event["data"]))

    @property
    def texts(self) -> list[str]:
        return [data["description"] for _, kind, data in self.events if kind == "status"]

    @property
    def previews(self) -> list[tuple[float, list[dict[str, Any]]]]:
        return [(at, data["files"]) for at, kind, data in self.events if kind == "chat:message:files"]


@pytest.fixture
def page() -> Page:
    return Page()


# --- the display ---


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
    assert Image.open(io.BytesIO(base64.b64decode(last))).getpixel((5, 5))[0] > 220


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
    small = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert kind == "data:image/jpeg;base64"
    assert max(small.size) <= 512
    assert len(base64.b64decode(encoded)) <= 1.2 * tool.PREVIEW_BYTES


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", jpeg()[:100], b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_a_preview_that_is_no_picture_is_left_out(data: bytes) -> None:
    assert tool.shrink_preview(data) is None


# --- a call outside a chat, as a program makes it ---


async def test_a_failure_becomes_a_dictionary_that_marks_it_and_a_last_status(page: Page) -> None:
    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        raise tool.NodeFailed("It broke.", "Mend it.")

    answer = await tool.Chat(emit=page).answer(work)
    assert answer == {"status": "error", "code": "node_failed", "error": "It broke.", "hint": "Mend it."}
    assert page.events[-1][1:] == ("status", {"description": "It broke.", "done": True})


async def test_a_mistake_of_the_tool_shows_no_inner_text(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        raise KeyError("/root/secret")

    answer = await tool.Chat(emit=page).answer(work)
    assert answer["code"] == "internal_error"
    assert "secret" not in str(answer) + str(page.events)
    assert "KeyError" in caplog.text


async def test_a_cancellation_is_raised_again_after_the_last_status(page: Page) -> None:
    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        await asyncio.sleep(60)
        return {}, ""

    call = asyncio.create_task(tool.Chat(emit=page).answer(work))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert page.events[-1][1:] == ("status", {"description": "Stopped", "done": True})


async def test_a_stop_during_the_last_status_is_not_swallowed() -> None:
    slow = Page(slow=0.2)

    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        return {"status": "done"}, "Done"

    call = asyncio.create_task(tool.Chat(emit=slow).answer(work))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert slow.texts == ["Done"]


async def test_a_clean_up_is_finished_though_it_is_cancelled_again() -> None:
    done = []

    async def clean_up() -> None:
        await asyncio.sleep(0.1)
        done.append(True)

    task = asyncio.create_task(tool.finish(clean_up(), 5))
    for _ in range(3):
        await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.wait({task})
    assert done
    assert task.cancelled(), "the cancellation is raised again afterwards"


async def test_a_clean_up_that_hangs_ends_with_its_time_and_says_that_it_failed() -> None:
    async with asyncio.timeout(2):
        assert await tool.finish(asyncio.sleep(60), 0.1) is False
        assert await tool.finish(asyncio.sleep(0), 1) is True


async def test_a_stop_that_comfyui_could_not_be_told_is_said_to_be_so(page: Page) -> None:
    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        stop = asyncio.CancelledError()
        stop.add_note(tool.STILL_AT_WORK)
        raise stop

    with pytest.raises(asyncio.CancelledError):
        await tool.Chat(emit=page).answer(work)
    assert page.texts == [f"Stopped. {tool.STILL_AT_WORK}"]


# --- finished files ---


FOX = tool.Product(b"a fox", "text/plain", None, "fox.txt")
OWL = tool.Product(b"an owl", "text/plain", None, "")


def keeping(monkeypatch: pytest.MonkeyPatch, refused: bytes = b"", attach: Exception | None = None) -> tool.Chat:
    """A chat of which Open WebUI does not store a file, or cannot write the message."""

    async def upload(_: tool.Chat, name: str, product: tool.Product) -> dict[str, Any]:
        if product.data == refused:
            raise OSError(28, "No space left on device", "/app/backend/data/uploads/fox.txt")
        return {"type": "file", "id": name}

    async def attached(_: tool.Chat, _stored: list[dict[str, Any]]) -> None:
        if attach:
            raise attach

    monkeypatch.setattr(tool.Chat, "_upload", upload)
    monkeypatch.setattr(tool.Chat, "_attach", attached)
    return tool.Chat(chat_id="c", message_id="m")


async def test_files_are_kept_in_their_order_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = keeping(monkeypatch)
    assert [item["id"] for item in await chat.keep([FOX, OWL], "x")] == ["x-1.txt", "x-2.txt"]
    assert chat.shown


async def test_what_is_stored_but_could_not_be_put_into_the_message_is_not_said_to_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat = keeping(monkeypatch, attach=RuntimeError("the chat is gone"))
    assert [item["id"] for item in await chat.keep([FOX], "x")] == ["x.txt"]
    assert not chat.shown


@pytest.mark.parametrize(
    ("refused", "hint"),
    [
        (FOX, 'In ComfyUI\'s output folder: "fox.txt". The other 1 are stored and shown.'),
        (OWL, "Nothing is left of it on the ComfyUI server. The other 1 are stored and shown."),
    ],
)
async def test_a_file_that_is_not_stored_is_named_where_it_is_left_and_the_others_are_shown(
    monkeypatch: pytest.MonkeyPatch, refused: tool.Product, hint: str
) -> None:
    chat = keeping(monkeypatch, refused.data)
    with pytest.raises(tool.StorageRefused) as error:
        await chat.keep([FOX, OWL], "x")
    assert error.value.message == "Open WebUI did not store the file: OSError"
    assert error.value.hint == hint


# --- the errors ---


def all_errors(base: type[tool.ComfyUIError] = tool.ComfyUIError) -> list[type[tool.ComfyUIError]]:
    return [kind for sub in base.__subclasses__() for kind in (sub, *all_errors(sub))]


def test_every_error_has_a_code_of_its_own_and_a_sentence_about_it() -> None:
    errors = all_errors()
    assert len({error.code for error in errors}) == len(errors) > 15
    assert all((error.__doc__ or "").strip().endswith(".") for error in errors)


def test_every_error_that_the_tool_raises_tells_what_to_do() -> None:
    base_only = {tool.ServerError, tool.EndpointRefused}  # the hint is given where it is raised
    for error in set(all_errors()) - base_only - {tool.StillRunning, tool.RunFailed}:
        assert error("x").as_result()["hint"], error.code


def test_the_tool_does_not_need_open_webui_to_be_imported() -> None:
    assert not any(name == "open_webui" or name.startswith("open_webui.") for name in sys.modules)

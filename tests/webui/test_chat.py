"""How a call ends in its chat, as far as that goes without Open WebUI: what the model is answered, what the last status
says, which files are kept, and whether the model can see them."""

import asyncio
import sys
import types
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.watching import Page

# --- what a call answers, and the last status ---


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


async def test_a_stop_that_comfyui_could_not_be_told_is_said_to_be_so(page: Page) -> None:
    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        stop = asyncio.CancelledError()
        stop.add_note(tool.STILL_AT_WORK)
        raise stop

    with pytest.raises(asyncio.CancelledError):
        await tool.Chat(emit=page).answer(work)
    assert page.texts == [f"Stopped. {tool.STILL_AT_WORK}"]


async def test_the_user_is_told_in_their_language_and_the_model_in_english(page: Page) -> None:
    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        raise tool.UnknownWorkflow('There is no workflow "x".')

    metadata = {"variables": {"{{USER_LANGUAGE}}": "de-DE"}}
    answer = await tool.Chat(metadata=metadata, emit=page).answer(work)
    assert page.texts == ["Es gibt keinen Workflow dieses Namens."]
    assert answer["error"] == 'There is no workflow "x".'


# --- finished files ---

FOX = tool.OutputFile(tool.FileBytes(b"a fox"), "text/plain", None, "fox.txt")
OWL = tool.OutputFile(tool.FileBytes(b"an owl"), "text/plain", None, "")


def keeping(monkeypatch: pytest.MonkeyPatch, refused: bytes = b"", attach: Exception | None = None) -> tool.Chat:
    """A chat of which Open WebUI does not store a file, or cannot write the message."""

    async def upload(_: tool.Chat, name: str, product: tool.OutputFile) -> dict[str, Any]:
        if product.data.whole() == refused:
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
        (FOX, 'In ComfyUI\'s output folder: "fox.txt". The other file is stored and shown.'),
        (OWL, "Nothing is left of it on the ComfyUI server. The other file is stored and shown."),
    ],
)
async def test_a_file_that_is_not_stored_is_named_where_it_is_left_and_the_others_are_shown(
    monkeypatch: pytest.MonkeyPatch, refused: tool.OutputFile, hint: str
) -> None:
    chat = keeping(monkeypatch, refused.data.whole())
    with pytest.raises(tool.StorageRefused) as error:
        await chat.keep([FOX, OWL], "x")
    assert error.value.message == "Open WebUI did not store the file: OSError"
    assert error.value.hint == hint


# --- what a model can see ---


@pytest.mark.parametrize(
    ("metadata", "seen"),
    [
        ({}, True),
        ({"model": {"info": {"meta": {"capabilities": {"vision": True}}}}}, True),
        ({"model": {"info": {"meta": {"capabilities": {"vision": False}}}}}, False),
        ({"model": {"info": None}, "params": {"function_calling": "native"}}, True),
        ({"params": {"function_calling": "legacy"}}, False),
    ],
)
def test_a_model_sees_pictures_only_with_vision_and_native_calls_where_open_webui_takes_them(
    metadata: dict[str, Any], seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = types.ModuleType("middleware")
    monkeypatch.setitem(sys.modules, "open_webui.utils.middleware", older)
    assert not tool.Chat(metadata=metadata).seen_by_model
    monkeypatch.setattr(older, "extract_base64_images", lambda: None, raising=False)
    assert tool.Chat(metadata=metadata).seen_by_model == seen

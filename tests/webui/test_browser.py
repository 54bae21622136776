"""What a person sees on Open WebUI's own page, in Chromium, when a model calls the tool.

With SCREENSHOTS set to a folder, each test leaves there what it saw.
"""

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support import SOURCE
from tests.support.browser import MISSING, OPEN_SECONDS, Browser, find_chromium
from tests.support.chats import installed
from tests.support.contract import METHODS
from tests.support.model_server import ModelServer, ToolCall, summarise
from tests.support.open_webui import OpenWebUI
from tests.support.stand_in import StandIn
from tests.support.stand_in.media import clip, wave_file

pytestmark = [
    pytest.mark.open_webui,
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]

PROMPT = "a lighthouse at dusk"


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.25) as server:
        yield server


@pytest.fixture
async def model(webui: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(webui, comfy, switched_on=True) as server:
        yield server


def script(model: ModelServer, *calls: dict[str, object]) -> None:
    model.script(
        [ToolCall("generate_image", {"prompt": PROMPT, "size": "512x384", **call}) for call in calls], then="Here."
    )


async def shoot(browser: Browser, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        await browser.screenshot(Path(folder) / f"{name}.png")


async def test_the_picture_comes_up_in_the_message_and_is_there_after_a_reload(
    webui: OpenWebUI, model: ModelServer
) -> None:
    script(model, {"seed": 7, "steps": 20})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw a lighthouse at dusk")
        preview = await browser.wait_for_preview()
        assert not preview.stored
        await browser.wait_for_status(re.compile(r"\d+% · \d+ s left"))
        await shoot(browser, "half-way")
        await browser.wait_until_done()  # before 0.10 a picture is called what the answer says
        (picture,) = await browser.wait_for_pictures(1)
        assert (picture.stored, picture.width, picture.height) == (True, 512, 384)
        assert await browser.count_pictures() == 1
        assert (await browser.status()).endswith("· seed 7")
        await shoot(browser, "done")
        await browser.reload()
        (again,) = await browser.wait_for_pictures(1)
        assert again == picture
        assert await browser.status_list() == [await browser.status()]
        await shoot(browser, "reloaded")
        assert browser.refused == []


async def test_two_calls_leave_their_pictures_and_no_preview(webui: OpenWebUI, model: ModelServer) -> None:
    script(model, {"seed": 1, "steps": 4}, {"seed": 2, "steps": 4, "count": 2})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw three")
        await browser.wait_until_done()
        assert [picture.stored for picture in await browser.wait_for_pictures(3)] == [True] * 3
        await shoot(browser, "three")


async def test_stop_takes_the_preview_away(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    script(model, {"steps": 100})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw")
        await browser.wait_for_preview()
        await browser.stop()
        await browser.wait_for_status("Stopped")
        assert await browser.count_pictures() == 0
        await shoot(browser, "stopped")
        await browser.reload()
        assert await browser.count_pictures() == 0


async def test_a_failure_says_what_is_wrong(webui: OpenWebUI, model: ModelServer) -> None:
    script(model, {"model": "<b>gone</b>"})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw")
        await browser.wait_until_done()
        assert "<b>gone</b>" in await browser.status()
        await shoot(browser, "failed")


async def test_the_graph_of_a_workflow_is_drawn_where_the_model_repeats_it(
    webui: OpenWebUI, model: ModelServer
) -> None:
    call = ToolCall("describe_workflow", {"workflow": "checkpoint", "diagram": True})
    model.script([call], then=lambda results: f"The graph:\n\n{json.loads(results[0])['diagram']}\n\nThat is it.")
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Show me the workflow")
        texts = await browser.wait_for_diagram()
        await shoot(browser, "diagram")
    assert all(text in texts for text in ("KSampler", "CheckpointLoaderSimple", "LATENT"))
    assert (browser.errors, browser.refused) == ([], [])


async def test_the_workflow_in_a_picture_dropped_into_the_chat_is_run(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, tmp_path: Path
) -> None:
    await webui.set_valves("comfyui", endpoint=comfy.url, allow_user_workflows=True)
    bob = await webui.user("bob")
    script(model, {"seed": 7, "steps": 4, "workflow": "checkpoint"})
    first = await webui.turn("Draw", tools=["comfyui"], user=bob)
    picture = tmp_path / "from-comfyui.png"
    picture.write_bytes(await webui.download(first.files[0]["id"], user=bob))
    model.script([ToolCall("run_workflow", {"workflow": "attached", "inputs": {"seed": 8}})], then="Here.")
    async with Browser(webui.url, bob.token) as browser:
        await browser.chat("Run the workflow in this picture", attach=picture)
        await browser.wait_for_pictures(1)
        await browser.wait_until_done()
        assert (await browser.status()).endswith("seed 8")
        await shoot(browser, "attached")
    texts = [node["inputs"].get("text") for node in comfy.prompts[-1]["prompt"].values()]
    assert PROMPT in texts


MEDIA = {
    "clip.mp4": ("video/mp4", "video"),
    "silent.mp4": ("video/mp4", "video"),
    "clip.webm": ("video/webm", "video"),
    "tone.flac": ("audio/flac", "audio"),
    "tone.mp3": ("audio/mpeg", "audio"),
    "tone.opus": ("audio/ogg", "audio"),
    "tone.wav": ("audio/wav", "audio"),
}


def player_of(file_id: str, tag: str) -> str:
    address = f"/api/v1/files/{file_id}/content"
    return f'<p><{tag} src="{address}" controls>{address}</{tag}></p>'


async def test_players_in_an_answer_and_in_the_dialog_of_a_file_play(webui: OpenWebUI, model: ModelServer) -> None:
    """What the page does with the markup of a player, without the tool."""
    bob = await webui.user("bob")
    ids = {}
    for name, (kind, _) in MEDIA.items():
        content = wave_file() if name.endswith(".wav") else clip(name)
        ids[name] = (await webui.upload(name, content, kind, bob))["id"]
    markup = {name: player_of(ids[name], tag) for name, (_, tag) in MEDIA.items()}
    async with Browser(webui.url, bob.token) as browser:
        model.script(then="\n\n".join(["Here they are.", *markup.values(), "That is all."]))
        await browser.chat("Play")
        await browser.wait_until_done()
        for _ in range(2):
            players = await browser.wait_for_players(len(MEDIA))
            assert [player.tag for player in players] == [tag for _, tag in MEDIA.values()]
            assert {player.video_width for player in players} == {128, 0}
            for index, player in enumerate(players):
                assert (player.where, player.error) == ("message", "")
                assert player.video_width == (128 if player.tag == "video" else 0)
                assert 0.9 < player.duration < 1.1
                assert await browser.play(index) > 0.2
            words = await browser.text()
            assert words.startswith("Here they are.")
            assert words.endswith("That is all.")
            await shoot(browser, "players")
            await browser.reload()
        model.script(then="Here are the files.")
        await browser.open("/")
        await browser.chat("Files")
        await browser.wait_until_done()
        await browser.page.wait_for_url(re.compile("/c/"))
        chat_id = browser.page.url.rpartition("/")[2]
        chat = await webui.chat(chat_id, user=bob)
        for message in chat["history"]["messages"].values():
            if message["role"] == "assistant":
                message["files"] = [{"type": "file", "id": id, "url": id, "name": name} for name, id in ids.items()]
        await webui.request("POST", f"/api/v1/chats/{chat_id}", user=bob, json={"chat": chat})
        for name, id in ids.items():
            await webui.write_content(id, markup[name])
        await browser.reload()
        assert await browser.files() == list(MEDIA)
        for name, (_, tag) in MEDIA.items():
            assert name in await browser.open_file(name)
            (player,) = await browser.wait_for_players(1)
            assert (player.tag, player.where) == (tag, "dialog")
            assert await browser.play() > 0.2
            await shoot(browser, f"dialog-{name}")
            await browser.close_file()
            assert await browser.players() == []
        await browser.open_file("tone.mp3", preview=True)
        assert (await browser.wait_for_players(1))[0].tag == "audio"
        assert await browser.play() > 0.2


async def test_a_photo_is_edited_and_then_made_to_move(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, tmp_path: Path
) -> None:
    film = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "of the author.png"}},
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8.0}},
        "3": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0], "filename_prefix": "film"}},
    }
    film["3"]["inputs"] |= {"format": "mp4", "codec": "h264"}
    await webui.set_valves("comfyui", endpoint=comfy.url, workflows=json.dumps({"film": film}))
    photo, mask = tmp_path / "photo.jpg", tmp_path / "mask.png"
    Image.new("RGB", (640, 480), "teal").save(photo)
    Image.new("L", (640, 480)).save(mask)
    with Image.open(mask) as drawn:
        drawn.paste(255, (400, 0, 640, 480))
        drawn.save(mask)
    edit = {"prompt": "a red door", "images": ["1"], "mask": "2", "workflow": "checkpoint-inpaint"}
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        model.script([ToolCall("edit_image", edit)], then=summarise)
        await browser.chat("Put a red door where the mask is white", attach=[photo, mask])
        (picture,) = await browser.wait_for_pictures(1)
        await browser.wait_until_done()
        assert (picture.stored, picture.width, picture.height) == (True, 640, 480)
        await shoot(browser, "edited")
        model.script([ToolCall("run_workflow", {"workflow": "film"})], then=summarise)
        await browser.chat("Make it move")
        await browser.wait_until_done()
        await browser.reload()
        await browser.wait_for_players(1)
        assert await browser.play() > 0.1
        await shoot(browser, "film")
        (name,) = await browser.files()
        await browser.open_file(name)
        assert [player.where for player in await browser.players()] == ["message", "dialog"]
        assert await browser.play(1) > 0.1
        await shoot(browser, "film-in-its-dialog")
        assert browser.refused == []


async def test_a_temporary_chat_shows_the_picture_once(webui: OpenWebUI, model: ModelServer) -> None:
    script(model, {"steps": 8})
    async with Browser(webui.url, (await webui.user("bob")).token, path="/?temporary-chat=true") as browser:
        await browser.chat("Draw")
        await browser.wait_until_done()
        assert [picture.stored for picture in await browser.wait_for_pictures(1)] == [True]


PASTE = """text => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    document.querySelector(".cm-content").dispatchEvent(paste);
}"""


async def test_the_file_pasted_into_the_editor_is_saved_as_it_is(webui: OpenWebUI, model: ModelServer) -> None:
    await webui.delete_tool("comfyui")
    async with Browser(webui.url, (await webui.admin()).token) as browser:
        page = browser.page
        page.set_default_timeout(OPEN_SECONDS * 1000)
        await page.goto(f"{webui.url}/workspace/tools/create")
        await page.locator(".cm-content").click()
        await page.keyboard.press("Control+A")
        await page.evaluate(PASTE, SOURCE)
        await page.get_by_role("button", name="Save").click()
        await shoot(browser, "editor")
        async with page.expect_response("**/api/v1/utils/code/format") as formatting:
            await page.get_by_role("button", name="Confirm").click()
        assert (await formatting.value).ok
        await page.wait_for_url(re.compile("/workspace/tools$"))
        await page.get_by_text("ComfyUI", exact=True).first.wait_for()
        await shoot(browser, "pasted")
    assert (await webui.tool("comfyui"))["content"] == SOURCE
    assert sorted(method["name"] for method in await webui.specification("comfyui")) == sorted(METHODS)

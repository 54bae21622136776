"""Pictures in a real Open WebUI: which picture of the chat a call works on, what is sent to ComfyUI, and what becomes
of the results."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.support.chats import ask, attach, failed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.older_pages import shows_results_to_models
from tests.support.open_webui import ApiError, OpenWebUI
from tests.support.pictures import opened, saved
from tests.support.runs import models_of
from tests.support.stand_in import DEFAULT_MODELS, StandIn
from tests.support.stand_in.files import Place

pytestmark = pytest.mark.open_webui

MODELS = {**DEFAULT_MODELS, "checkpoints": [*DEFAULT_MODELS["checkpoints"], "dreamshaper_8.safetensors"]}
QUICK = {"workflow": "checkpoint-image-to-image"}

# Another tool that makes pictures, as people have them: it stores a file and puts it into the message.
OTHER_TOOL = '''
import io
from fastapi import UploadFile
from PIL import Image
from open_webui.models.users import Users
from open_webui.routers.files import upload_file_handler
from starlette.datastructures import Headers

class Tools:
    async def paint(self, colour: str, __user__=None, __request__=None, __event_emitter__=None) -> str:
        """Paint a picture of one colour."""
        data = io.BytesIO()
        Image.new("RGB", (96, 64), colour).save(data, "PNG")
        data.seek(0)
        file = UploadFile(file=data, filename="paint.png", headers=Headers({"content-type": "image/png"}))
        user = await Users.get_user_by_id(__user__["id"])
        item = await upload_file_handler(__request__, file=file, metadata={}, process=False, user=user)
        files = [{"type": "image", "url": f"/api/v1/files/{item.id}/content"}]
        await __event_emitter__({"type": "files", "data": {"files": files}})
        return "Painted."
'''


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(release="0.3.64", models=dict(MODELS), step_seconds=0.0) as server:
        yield server


def edit(prompt: str = "a red sky", **arguments: Any) -> ToolCall:
    return ToolCall("edit_image", {"prompt": prompt, **QUICK, **arguments})


def photo(colour: str = "red", size: tuple[int, int] = (96, 64), kind: str = "PNG", **about: Any) -> bytes:
    return saved(Image.new("RGB", size, colour), kind, **about)


def worked_on(comfy: StandIn) -> list[str]:
    """The names of the pictures that the last prompt loads, in its order."""
    nodes = comfy.prompts[-1]["prompt"].values()
    return [node["inputs"]["image"] for node in nodes if node["class_type"] == "LoadImage"]


def content(comfy: StandIn, name: str, kind: str = "input") -> bytes:
    """A file of the server's."""
    file = comfy.files.get(comfy.files.find(name, "", kind))
    assert file
    return file.content


def colour_of(comfy: StandIn, name: str) -> Any:
    """The colour of an uploaded picture's middle."""
    image = opened(content(comfy, name)).convert("RGB")
    return image.getpixel((image.width // 2, image.height // 2))


def uploads(comfy: StandIn) -> list[str]:
    return [request.path for request in comfy.requests if request.path.endswith("/upload/image")]


# --- which picture ---


async def test_a_conversation_about_pictures(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    admin = await webui.admin()
    red, blue = photo("red"), photo("blue")
    first = await ask(webui, model, edit(), files=[await attach(webui, admin, red)])
    assert colour_of(comfy, worked_on(comfy)[0]) == (255, 0, 0)
    assert [item["number"] for item in first.tool_results[0]["images"]] == [2]
    assert first.tool_results[0]["from"] == [1]

    second = await ask(webui, model, edit(), after=first)
    made = await webui.download(first.files[0]["id"])
    assert content(comfy, worked_on(comfy)[0]) == made, "without a word the newest is meant, whoever made it"
    assert [item["number"] for item in second.tool_results[0]["images"]] == [3]

    third = await ask(webui, model, edit(images=["1"]), after=second, files=[await attach(webui, admin, blue)])
    assert colour_of(comfy, worked_on(comfy)[0]) == (255, 0, 0), "the first one is that of the first message"
    assert [item["number"] for item in third.tool_results[0]["images"]] == [5], "the blue one is the fourth"

    await ask(webui, model, edit(images=["4"]), after=third)
    assert colour_of(comfy, worked_on(comfy)[0]) == (0, 0, 255)


async def test_only_the_branch_that_one_looks_at_counts(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    admin = await webui.admin()
    first = await ask(webui, model, edit(), files=[await attach(webui, admin, photo("red"))])
    await ask(webui, model, edit(), after=first, files=[await attach(webui, admin, photo("blue"))])
    other = await ask(webui, model, edit(images=["last"]), after=first)
    assert content(comfy, worked_on(comfy)[0]) == await webui.download(first.files[0]["id"])
    assert other.tool_results[0]["images"][0]["number"] == 3


async def test_a_picture_of_another_tool_is_one_of_the_chat(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.create_tool("painter", "Painter", OTHER_TOOL)
    try:
        painted = await ask(webui, model, ToolCall("paint", {"colour": "lime"}), tools=["painter"])
        await ask(webui, model, edit(), after=painted)
        assert colour_of(comfy, worked_on(comfy)[0]) == (0, 255, 0)
    finally:
        await webui.delete_tool("painter")


async def test_two_calls_in_one_answer_count_on(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    model.script([[edit()], [edit(images=["last"])]], then="Here they are.")
    files = [await attach(webui, await webui.admin(), photo())]
    turn = await webui.turn("Please", tools=["comfyui"], files=files)
    assert [result["images"][0]["number"] for result in turn.tool_results] == [2, 3]
    assert content(comfy, worked_on(comfy)[0]) == await webui.download(turn.files[0]["id"])


async def test_in_a_temporary_chat_the_attached_picture_is_worked_on(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    files = [await attach(webui, await webui.admin(), photo("red"))]
    model.script([[edit()], [edit(images=["last"])], [edit(images=["1"])]], then="Here they are.")
    turn = await webui.turn("Please", tools=["comfyui"], files=files, temporary=True)
    assert [result["images"][0]["number"] for result in turn.tool_results] == [2, 3, 4]
    assert colour_of(comfy, worked_on(comfy)[0]) == (255, 0, 0)


async def test_without_a_picture_in_the_chat_none_is_invented(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    result = failed(await ask(webui, model, edit()))
    assert (result["code"], result["error"]) == ("bad_argument", "There is no picture in this chat.")
    assert comfy.prompts == []


async def test_a_number_that_the_chat_does_not_have_is_told_with_those_it_has(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    files = [await attach(webui, await webui.admin(), photo())]
    result = failed(await ask(webui, model, edit(images=["7"]), files=files))
    assert result["error"] == 'There is no picture "7" in this chat.'
    assert result["hint"] == "There is 1 picture: 1 photo.png."


async def test_another_users_picture_is_not_found(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    secret = await attach(webui, await webui.user("alice"), photo())
    for images in ([secret["id"]], [secret["url"]]):
        turn = await ask(webui, model, edit(images=images), user=await webui.user("bob"))
        assert failed(turn)["error"] == f'There is no file "{images[0]}".'
    assert uploads(comfy) == []


async def test_an_administrator_may_read_every_file_as_in_open_webui_itself(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    theirs = await attach(webui, await webui.user("alice"), photo())
    turn = await ask(webui, model, edit(images=[theirs["id"]]), user=await webui.admin())
    assert turn.tool_results[0]["status"] == "done"


async def test_a_picture_that_was_deleted_is_not_found(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    admin = await webui.admin()
    file = await attach(webui, admin, photo())
    first = await ask(webui, model, edit(), files=[file])
    with contextlib.suppress(ApiError):  # its text index is not there to be deleted; the file itself is
        await webui.delete_file(file["id"])
    result = failed(await ask(webui, model, edit(images=["1"]), after=first))
    assert "There is no file" in result["error"]


# --- what is sent ---


async def test_the_same_picture_is_uploaded_once(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    admin = await webui.admin()
    first = await ask(webui, model, edit(), files=[await attach(webui, admin, photo("red"))])
    await ask(webui, model, edit(images=["1"]), after=first)
    await ask(webui, model, edit(), files=[await attach(webui, admin, photo("red"))])
    assert len(uploads(comfy)) == 1


async def test_a_photo_that_lies_on_its_side_is_worked_on_upright_and_the_result_follows_it(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    about = Image.Exif()
    about[0x0112] = 6
    data = photo("green", (640, 480), "JPEG", exif=about)
    turn = await ask(webui, model, edit(), files=[await attach(webui, await webui.admin(), data, "photo.jpg")])
    assert opened(content(comfy, worked_on(comfy)[0])).size == (480, 640)
    assert turn.tool_results[0]["size"] == "480x640"


async def test_what_is_no_picture_is_refused_by_its_name_before_anything_is_sent(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    files = [await attach(webui, await webui.admin(), drawing, "drawing.svg")]
    result = failed(await ask(webui, model, edit(), files=files))
    assert result["code"] == "bad_argument"
    assert "drawing.svg" in result["error"]
    assert result["hint"]
    assert uploads(comfy) == []


async def test_a_masked_edit_changes_only_what_the_mask_covers(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    mask = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(mask).rectangle((32, 0, 63, 63), fill=255)
    files = [await attach(webui, admin, data) for data in (photo("red", (512, 512)), saved(mask))]
    call = ToolCall("edit_image", {"prompt": "a blue door", "images": ["1"], "mask": "2"})
    turn = await ask(webui, model, call, files=files)
    (result,) = turn.tool_results
    assert (result["workflow"], result["size"]) == ("checkpoint-inpaint", "512x512")
    assert any("64x64" in note and "512x512" in note for note in result["adjusted"]), "a mask of another size is said"
    made = opened(await webui.download(turn.files[0]["id"])).convert("RGB")
    assert made.getpixel((100, 256)) == (255, 0, 0)
    assert made.getpixel((400, 256)) != (255, 0, 0)


async def test_several_pictures_go_to_a_workflow_that_takes_them_in_their_order(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    comfy.models["diffusion_models"] = ["qwen_image_edit_2511_fp8mixed.safetensors"]
    comfy.models["text_encoders"] = ["qwen_2.5_vl_7b_fp8_scaled.safetensors"]
    comfy.models["vae"] = ["qwen_image_vae.safetensors"]
    files = [await attach(webui, admin, photo(colour)) for colour in ("red", "lime", "blue")]
    call = ToolCall("edit_image", {"prompt": "both", "images": ["3", "1"]})
    (result,) = (await ask(webui, model, call, files=files)).tool_results
    assert result["workflow"] == "qwen-image-edit"
    assert [colour_of(comfy, name) for name in worked_on(comfy)] == [(0, 0, 255), (255, 0, 0)]


async def test_more_pictures_than_anything_installed_takes_are_refused(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    comfy.models["vae"] = []
    files = [await attach(webui, admin, photo(colour)) for colour in ("red", "lime", "blue", "white")]
    two = failed(await ask(webui, model, ToolCall("edit_image", {"prompt": "x", "images": ["1, 2"]}), files=files))
    assert two["code"] == "model_not_installed"
    assert "qwen-image-edit" in two["hint"]
    four = failed(await ask(webui, model, ToolCall("edit_image", {"prompt": "x", "images": ["last 4"]}), files=files))
    assert (four["code"], four["hint"]) == ("bad_argument", "Give at most 3.")
    one = edit(images=["1", "2"])
    assert failed(await ask(webui, model, one, files=files))["error"].endswith("takes 1 image, and 2 were given.")
    assert uploads(comfy) == []


async def test_an_enlarged_picture_has_exactly_the_size_that_was_asked_for(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    files = [await attach(webui, await webui.admin(), photo(size=(101, 67)))]
    turn = await ask(webui, model, ToolCall("upscale_image", {"scale": 3}), files=files)
    assert turn.tool_results[0]["size"] == "303x201"
    await webui.set_valves("comfyui", endpoint=comfy.url, max_upscaled_megapixels=0.5)
    limit = failed(await ask(webui, model, ToolCall("upscale_image", {"scale": "8x"}), after=turn))
    assert limit["code"] == "limit_exceeded"
    assert limit["hint"] == "Ask for a scale of at most 2.8."


# --- what becomes of results ---


async def test_ten_pictures_keep_their_order(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    await webui.set_valves("comfyui", endpoint=comfy.url, max_count=10)
    call = ToolCall("generate_image", {"prompt": "ten", "count": 10, "size": "64x64", "steps": 1, "seed": 5})
    turn = await ask(webui, model, call)
    (result,) = turn.tool_results
    assert [item["number"] for item in result["images"]] == list(range(1, 11))
    assert [item["name"] for item in turn.files] == [f"ten-5-{index}.png" for index in range(1, 11)]
    stored = [await webui.download(item["id"]) for item in turn.files]
    folder = "open-webui"
    saved = [comfy.files.get(Place("output", folder, name)) for name in comfy.files.names("output", folder)]
    assert stored == [file.content for file in saved if file]


@pytest.mark.parametrize(
    ("mine", "everybodys", "kind", "told"),
    [
        ({}, {"picture_format": "WebP"}, "image/webp", True),
        ({"picture_format": "JPEG", "quality": 50}, {"picture_format": "WebP"}, "image/jpeg", True),
        ({"strip_metadata": True}, {}, "image/png", False),
    ],
)
async def test_pictures_are_kept_in_the_format_of_the_valves(
    webui: OpenWebUI,
    model: ModelServer,
    comfy: StandIn,
    mine: dict[str, Any],
    everybodys: dict[str, Any],
    kind: str,
    told: bool,
) -> None:
    bob = await webui.user("bob")
    await webui.set_valves("comfyui", endpoint=comfy.url, **everybodys)
    await webui.set_user_valves("comfyui", bob, **mine)
    try:
        prompt = "a very secret garden"
        call = ToolCall("generate_image", {"prompt": prompt, "size": "64x64", "steps": 1})
        turn = await ask(webui, model, call, user=bob)
        (file,) = turn.files
        assert file["content_type"] == kind
        assert file["name"].endswith({"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}[kind])
        assert (prompt.encode() in await webui.download(file["id"])) == told
    finally:
        await webui.set_user_valves("comfyui", bob)


async def test_a_video_is_the_users_file_with_a_player_for_the_answer_and_one_in_its_dialog(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.models["checkpoints"].append("ltx-video-2b-v0.9.5.safetensors")
    comfy.models["text_encoders"] = ["t5xxl_fp16.safetensors"]
    inputs = {"prompt": "waves", "steps": 1, "length": 9, "width": 64, "height": 64}
    turn = await ask(webui, model, ToolCall("run_workflow", {"workflow": "text_to_video", "inputs": inputs}))
    (result,), (file,) = turn.tool_results, turn.files
    assert (file["type"], file["content_type"]) == ("file", "video/mp4")
    assert result["players"] == f'<p><video src="{file["url"]}" controls>{file["url"]}</video></p>'
    about = await webui.request("GET", f"/api/v1/files/{file['id']}")
    assert about["data"]["content"].startswith(f'<p><video src="{file["url"]}" controls')


async def test_a_text_is_told_to_the_model_and_kept_as_a_file(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    graph = {"1": {"class_type": "PreviewAny", "inputs": {"source": '{"a": 1}'}}}
    await webui.set_valves("comfyui", endpoint=comfy.url, workflows=json.dumps({"tell": graph}))
    turn = await ask(webui, model, ToolCall("run_workflow", {"workflow": "tell"}))
    (result,), (file,) = turn.tool_results, turn.files
    assert result["text"] == ['{"a": 1}']
    assert (file["content_type"], file["name"]) == ("text/plain", "tell.json")
    assert await webui.download(file["id"]) == b'{"a": 1}'


# --- the model sees what it made ---


async def test_a_model_with_vision_sees_its_picture_when_the_user_wants_it(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    await webui.set_user_valves("comfyui", bob, show_to_model=True)
    try:
        call = ToolCall("generate_image", {"prompt": "a fox", "size": "64x64", "steps": 1})
        turn = await ask(webui, model, call, user=bob)
        if not shows_results_to_models(webui.version):
            assert "copies" not in turn.tool_results[0]
            pytest.skip("Before 0.11.4 no picture in a result reaches a model.")
        assert turn.tool_results[0]["copies"] == ["[image]"]
        (shown,) = turn.requests[-1].images
        assert shown.startswith("data:image/jpeg;base64,")
        assert len(turn.files) == 1, "the user sees the picture once"
        chat = json.dumps(await webui.chat(turn.chat_id, user=bob))
        assert "base64" not in chat, "no file's bytes stand in the chat"
        again = await ask(webui, model, edit(), user=bob, after=turn)
        assert [item["number"] for item in again.tool_results[0]["images"]] == [2], "the copy is no picture of the chat"
    finally:
        await webui.set_user_valves("comfyui", bob)


async def test_without_the_wish_the_model_sees_nothing(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    turn = await ask(webui, model, ToolCall("generate_image", {"prompt": "a fox", "size": "64x64", "steps": 1}))
    assert "copies" not in turn.tool_results[0]
    assert turn.requests[-1].images == []


async def test_a_file_is_known_by_the_name_that_open_webui_shows(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    files = [await attach(webui, admin, photo("red"), "red.png"), await attach(webui, admin, photo("blue"), "blue.png")]
    first = await ask(webui, model, edit(images=["red.png"]), files=files)
    assert colour_of(comfy, worked_on(comfy)[0]) == (255, 0, 0)
    shown = f"![a blue one](/api/v1/files/{files[1]['id']}/content)"
    await ask(webui, model, edit(images=shown), after=first)
    assert colour_of(comfy, worked_on(comfy)[0]) == (0, 0, 255)


async def test_the_same_seed_is_that_of_the_result_before(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    draw = {"prompt": "a fox", "workflow": "checkpoint", "size": "64x64", "steps": 2}
    result = failed(await ask(webui, model, ToolCall("generate_image", {**draw, "seed": "same"})))
    assert "nothing in this chat tells its seed" in result["error"]
    first = await ask(webui, model, ToolCall("generate_image", {**draw, "seed": 4711, "count": 2}))
    second = await ask(webui, model, ToolCall("generate_image", {**draw, "seed": "last"}), after=first)
    assert second.tool_results[0]["seed"] == 4711
    again = ToolCall("run_workflow", {"workflow": "checkpoint", "inputs": {"prompt": "an owl", "seed": "same"}})
    third = await ask(webui, model, again, after=second)
    assert third.tool_results[0]["seed"] == 4711


# --- which pictures are meant where the call does not say ---


def drawn_mask() -> bytes:
    image = Image.new("RGB", (96, 64))
    ImageDraw.Draw(image).rectangle((8, 8, 40, 40), "white")
    return saved(image, "PNG")


async def test_both_pictures_of_the_last_message_are_meant_and_that_is_said(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.models.update(models_of("qwen-image-edit"))
    admin = await webui.admin()
    files = [await attach(webui, admin, photo("red")), await attach(webui, admin, photo("blue"), "other.png")]
    turn = await ask(webui, model, edit(workflow="qwen-image-edit", steps=None), files=files)
    assert [colour_of(comfy, name) for name in worked_on(comfy)] == [(255, 0, 0), (0, 0, 255)]
    note = "no `images` was given, and all 2 pictures of the user's last message were taken"
    assert note in turn.tool_results[0]["adjusted"]
    order = ToolCall("run_workflow", {"workflow": "qwen-image-edit", "prompt": "a red sky"})
    await ask(webui, model, order, files=files)
    assert [colour_of(comfy, name) for name in worked_on(comfy)] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize("named", [{}, {"mask": "mask.png"}, {"mask": "2"}, {"images": ["1", "2"]}], ids=str)
async def test_a_second_picture_that_is_a_mask_of_the_first_is_its_mask(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, named: dict[str, Any]
) -> None:
    admin = await webui.admin()
    files = [await attach(webui, admin, photo("red")), await attach(webui, admin, drawn_mask(), "mask.png")]
    turn = await ask(webui, model, edit(workflow="checkpoint-inpaint", **named), files=files)
    (result,) = turn.tool_results
    assert result["workflow"] == "checkpoint-inpaint"
    assert colour_of(comfy, worked_on(comfy)[0]) != (0, 0, 0)
    assert ("taken for the mask" in str(result.get("adjusted"))) == ("mask" not in named)


async def test_a_mask_alone_leaves_the_picture_before_it(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    admin = await webui.admin()
    first = await ask(webui, model, edit(), files=[await attach(webui, admin, photo("red"))])
    mask = [await attach(webui, admin, drawn_mask(), "mask.png")]
    turn = await ask(webui, model, edit(workflow="checkpoint-inpaint", mask="last"), after=first, files=mask)
    assert turn.tool_results[0]["status"] == "done"

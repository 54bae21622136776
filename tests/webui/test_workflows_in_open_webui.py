"""Any workflow in a real Open WebUI: where it may come from, what it works on, and what the model is told of it."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.support.conversion import template
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI, Turn, User, installed
from tests.support.stand_in import DEFAULT_MODELS, StandIn
from tests.support.stand_in.files import File
from tests.webui.test_tool_in_open_webui import failed

pytestmark = pytest.mark.open_webui

MODELS = {
    **DEFAULT_MODELS,
    "checkpoints": [*DEFAULT_MODELS["checkpoints"], "dreamshaper_8.safetensors"],
    "loras": ["blindbox_v1_mix.safetensors", "MoXinV1.safetensors"],
}


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(release="0.3.64", models=MODELS, step_seconds=0.0) as server:
        yield server


@pytest.fixture
async def model(webui: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(webui, comfy) as server:
        yield server


async def ask(webui: OpenWebUI, model: ModelServer, method: str, turn: Any = None, **arguments: Any) -> Turn:
    """One turn in which the model calls one method."""
    model.script([ToolCall(method, arguments)], then="Here it is.")
    return await webui.turn("Please", tools=["comfyui"], **(turn or {}))


def small(comfy: StandIn, **over: Any) -> dict[str, Any]:
    return comfy.example_graph(steps=2, width=64, height=64, **over)


async def attachment(webui: OpenWebUI, user: User, name: str, data: bytes, kind: str = "image/png") -> dict[str, Any]:
    """A file as the page sends it along with a message."""
    item = await webui.upload(name, data, kind, user)
    return {**item, "type": "image"} if kind.startswith("image/") else item


def picture(**texts: Any) -> bytes:
    chunks = PngInfo()
    for key, value in texts.items():
        chunks.add_text(key, json.dumps(value))
    stream = io.BytesIO()
    Image.new("RGB", (96, 64), "red").save(stream, "PNG", pnginfo=chunks)
    return stream.getvalue()


async def test_a_workflow_saved_in_comfyui_runs_in_the_chat_by_its_name(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.userdata["workflows/art/plain.json"] = File(json.dumps(template("0.3.64", "lora")).encode())
    inputs = {"prompt": "a fox", "width": 128, "height": 64, "steps": 2, "seed": 7}
    turn = await ask(webui, model, "run_workflow", workflow="plain", inputs=inputs)
    (result,) = turn.tool_results
    (file,) = turn.files
    assert (result["status"], result["workflow"], result["seed"]) == ("done", "art/plain", 7)
    assert (file["name"], file["type"]) == ("a-fox-7.png", "image")
    assert Image.open(io.BytesIO(await webui.download(file["id"]))).size == (128, 64)


async def test_generate_image_uses_a_pasted_graph_of_a_stranger(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.set_valves("comfyui", endpoint=comfy.url, workflows=json.dumps({"strange": small(comfy)}))
    turn = await ask(webui, model, "generate_image", prompt="a fox", workflow="strange", seed=7, steps=3, size="128x64")
    assert turn.tool_results[0]["size"] == "128x64"
    nodes = comfy.prompts[-1]["prompt"]
    assert (nodes["6"]["inputs"]["text"], nodes["7"]["inputs"]["text"]) == ("a fox", "blurry")
    assert (nodes["3"]["inputs"]["seed"], nodes["3"]["inputs"]["steps"]) == (7, 3)


async def test_a_users_own_workflow_runs_once_the_administrator_allows_it(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    await webui.set_user_valves("comfyui", bob, workflows=json.dumps({"mine": small(comfy)}))
    result = failed(await ask(webui, model, "run_workflow", {"user": bob}, workflow="mine"))
    assert result["code"] == "unknown_workflow"
    assert "administrator does not allow" in result["hint"]
    await webui.set_valves("comfyui", endpoint=comfy.url, allow_user_workflows=True)
    turn = await ask(webui, model, "run_workflow", {"user": bob}, workflow="mine")
    assert turn.tool_results[0]["workflow"] == "mine"
    await webui.set_user_valves("comfyui", bob)


@pytest.mark.parametrize("earlier", [False, True], ids=["with this message", "with an earlier one"])
async def test_the_workflow_inside_an_attached_picture_runs(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, earlier: bool
) -> None:
    admin = await webui.admin()
    file = await attachment(webui, admin, "from-comfyui.png", picture(prompt=small(comfy, text="a fox")))
    about: dict[str, Any] = {"files": [file]}
    if earlier:
        model.script([], then="What a picture.")
        about = {"after": await webui.turn("Look", files=[file])}
    turn = await ask(webui, model, "run_workflow", about, workflow="attached", inputs={"seed": 7})
    assert (turn.tool_results[0]["status"], turn.tool_results[0]["workflow"]) == ("done", "attached")
    assert comfy.prompts[-1]["prompt"]["6"]["inputs"]["text"] == "a fox"


async def test_an_attached_workflow_as_a_json_file_runs_too(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    text = json.dumps(small(comfy)).encode()
    file = await attachment(webui, admin, "fox.json", text, "application/json")
    turn = await ask(webui, model, "run_workflow", {"files": [file]}, workflow="attached")
    assert turn.tool_results[0]["workflow"] == "attached"


async def test_an_attached_picture_without_a_workflow_is_named(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    file = await attachment(webui, admin, "holiday.png", picture())
    result = failed(await ask(webui, model, "run_workflow", {"files": [file]}, workflow="attached"))
    assert '"holiday.png" holds no workflow' in result["error"]


async def test_who_may_not_bring_workflows_may_not_attach_one(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    file = await attachment(webui, bob, "from-comfyui.png", picture(prompt=small(comfy)))
    turn = await ask(webui, model, "run_workflow", {"user": bob, "files": [file]}, workflow="attached")
    assert failed(turn)["code"] == "unknown_workflow"
    assert comfy.prompts == []


@pytest.mark.parametrize(
    "shape", ["{id}", "/api/v1/files/{id}/content", "http://localhost:3000/api/v1/files/{id}/content"]
)
async def test_a_file_of_the_user_is_worked_on(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, shape: str
) -> None:
    bob = await webui.user("bob")
    file = await webui.upload("red.png", picture(), "image/png", bob)
    turn = await ask(
        webui, model, "run_workflow", {"user": bob}, workflow="upscale", images=[shape.format(id=file["id"])]
    )
    assert turn.tool_results[0]["status"] == "done"
    assert turn.tool_results[0]["size"] != "96x64"


async def test_another_users_file_is_not_found(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    file = await webui.upload("red.png", picture(), "image/png", await webui.user("alice"))
    turn = await ask(
        webui, model, "run_workflow", {"user": await webui.user("bob")}, workflow="upscale", images=[file["id"]]
    )
    result = failed(turn)
    assert result["error"] == f'There is no file "{file["id"]}".'
    assert all(request.path.removeprefix("/api") != "/upload/image" for request in comfy.requests)


async def test_a_file_that_is_no_picture_is_kept_for_download(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.models["checkpoints"].append("ace_step_v1_3.5b.safetensors")
    inputs = {"prompt": "jazz", "seconds": 1, "steps": 2}
    turn = await ask(webui, model, "run_workflow", workflow="ace-step", inputs=inputs)
    (file,) = turn.files
    assert (file["type"], file["content_type"]) == ("file", "audio/mpeg")
    assert turn.tool_results[0]["files"] == [{"id": file["id"], "url": file["url"], "name": file["name"]}]
    assert turn.tool_results[0]["images"] == []
    assert await webui.download(file["id"])


async def test_a_description_holds_a_diagram_and_writes_nothing_into_the_chat(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    turn = await ask(webui, model, "describe_workflow", workflow="checkpoint")
    (result,) = turn.tool_results
    assert result["status"] == "done"
    assert result["diagram"].startswith("```mermaid\n")
    assert result["inputs"]["steps"].startswith("INT, 1 to 10000")
    assert turn.files == []
    assert turn.status_history[-1] == {"description": 'Looked at "checkpoint"', "done": True}


async def test_lists_are_short_enough_for_a_model(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    turn = await ask(webui, model, "list_workflows")
    (result,) = turn.tool_results
    names = [line["name"] for line in result["workflows"]]
    assert {"checkpoint", "upscale", "ace-step"} <= set(names)
    assert len(json.dumps(result)) / 3 < 4000
    (found,) = (await ask(webui, model, "list_models", kind="loras")).tool_results
    assert found["loras"] == MODELS["loras"]

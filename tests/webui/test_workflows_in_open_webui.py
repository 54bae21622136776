"""Any workflow in a real Open WebUI: where it may come from, what it works on, and what the model is told of it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.chats import ask, attach, failed
from tests.support.conversion import template
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.pictures import opened, png
from tests.support.stand_in import DEFAULT_MODELS, StandIn
from tests.support.stand_in.files import File
from tests.support.tokens import tokens

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


def run(workflow: str, **arguments: Any) -> ToolCall:
    return ToolCall("run_workflow", {"workflow": workflow, **arguments})


def small(comfy: StandIn, **over: Any) -> dict[str, Any]:
    return comfy.example_graph(steps=2, width=64, height=64, **over)


def picture(**texts: Any) -> bytes:
    """A picture with these values in it, as JSON."""
    return png((96, 64), **{key: json.dumps(value) for key, value in texts.items()})


async def test_a_workflow_saved_in_comfyui_runs_in_the_chat_by_its_name(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.userdata["workflows/art/plain.json"] = File(json.dumps(template("0.3.64", "lora")).encode())
    inputs = {"prompt": "a fox", "width": 128, "height": 64, "steps": 2, "seed": 7}
    turn = await ask(webui, model, run("plain", inputs=inputs))
    (result,) = turn.tool_results
    (file,) = turn.files
    assert (result["status"], result["workflow"], result["seed"]) == ("done", "art/plain", 7)
    assert (file["name"], file["type"]) == ("a-fox-7.png", "image")
    assert opened(await webui.download(file["id"])).size == (128, 64)


async def test_generate_image_uses_a_pasted_graph_of_a_stranger(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.set_valves("comfyui", endpoint=comfy.url, workflows=json.dumps({"strange": small(comfy)}))
    arguments = {"prompt": "a fox", "workflow": "strange", "seed": 7, "steps": 3, "size": "128x64"}
    turn = await ask(webui, model, ToolCall("generate_image", arguments))
    assert turn.tool_results[0]["size"] == "128x64"
    nodes = comfy.prompts[-1]["prompt"]
    assert (nodes["6"]["inputs"]["text"], nodes["7"]["inputs"]["text"]) == ("a fox", "blurry")
    assert (nodes["3"]["inputs"]["seed"], nodes["3"]["inputs"]["steps"]) == (7, 3)


async def test_a_users_own_workflow_runs_once_the_administrator_allows_it(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    await webui.set_user_valves("comfyui", bob, workflows=json.dumps({"mine": small(comfy)}))
    result = failed(await ask(webui, model, run("mine"), user=bob))
    assert result["code"] == "unknown_workflow"
    assert "administrator does not allow" in result["hint"]
    await webui.set_valves("comfyui", endpoint=comfy.url, allow_user_workflows=True)
    turn = await ask(webui, model, run("mine"), user=bob)
    assert turn.tool_results[0]["workflow"] == "mine"
    await webui.set_user_valves("comfyui", bob)


@pytest.mark.parametrize("earlier", [False, True], ids=["with this message", "with an earlier one"])
async def test_the_workflow_inside_an_attached_picture_runs(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, earlier: bool
) -> None:
    admin = await webui.admin()
    file = await attach(webui, admin, picture(prompt=small(comfy, text="a fox")), "from-comfyui.png")
    about: dict[str, Any] = {"files": [file]}
    if earlier:
        model.script([], then="What a picture.")
        about = {"after": await webui.turn("Look", files=[file])}
    turn = await ask(webui, model, run("attached", inputs={"seed": 7}), **about)
    assert (turn.tool_results[0]["status"], turn.tool_results[0]["workflow"]) == ("done", "attached")
    for name in ("from-comfyui.png", file["id"], "the attached image"):
        turn = await ask(webui, model, run(name, inputs={"seed": 7}), **about)
        assert (turn.tool_results[0]["status"], turn.tool_results[0]["workflow"]) == ("done", name)
    assert comfy.prompts[-1]["prompt"]["6"]["inputs"]["text"] == "a fox"


async def test_an_attached_workflow_as_a_json_file_runs_too(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    text = json.dumps(small(comfy)).encode()
    file = await attach(webui, admin, text, "fox.json", "application/json")
    turn = await ask(webui, model, run("attached"), files=[file])
    assert turn.tool_results[0]["workflow"] == "attached"


async def test_an_attached_picture_without_a_workflow_is_named(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    admin = await webui.admin()
    file = await attach(webui, admin, picture(), "holiday.png")
    result = failed(await ask(webui, model, run("attached"), files=[file]))
    assert '"holiday.png" holds no workflow' in result["error"]


async def test_who_may_not_bring_workflows_may_not_attach_one(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    file = await attach(webui, bob, picture(prompt=small(comfy)), "from-comfyui.png")
    turn = await ask(webui, model, run("attached"), user=bob, files=[file])
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
    turn = await ask(webui, model, run("upscale", images=[shape.format(id=file["id"])]), user=bob)
    assert turn.tool_results[0]["status"] == "done"
    assert turn.tool_results[0]["size"] != "96x64"


async def test_another_users_file_is_not_found(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    file = await webui.upload("red.png", picture(), "image/png", await webui.user("alice"))
    turn = await ask(webui, model, run("upscale", images=[file["id"]]), user=await webui.user("bob"))
    result = failed(turn)
    assert result["error"] == f'There is no file "{file["id"]}".'
    assert all(request.path.removeprefix("/api") != "/upload/image" for request in comfy.requests)


async def test_a_file_that_is_no_picture_is_kept_for_download(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.models["checkpoints"].append("ace_step_v1_3.5b.safetensors")
    inputs = {"prompt": "jazz", "seconds": 1, "steps": 2}
    turn = await ask(webui, model, run("ace-step", inputs=inputs))
    (file,) = turn.files
    assert (file["type"], file["content_type"]) == ("file", "audio/mpeg")
    assert turn.tool_results[0]["files"] == [{"name": file["name"], "id": file["id"]}]
    assert "images" not in turn.tool_results[0]
    assert await webui.download(file["id"])


async def test_a_description_holds_a_diagram_and_writes_nothing_into_the_chat(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    turn = await ask(webui, model, ToolCall("describe_workflow", {"workflow": "checkpoint", "diagram": True}))
    (result,) = turn.tool_results
    assert result["status"] == "done"
    assert result["diagram"].startswith("```mermaid\n")
    assert result["inputs"]["steps"].startswith("INT, 1 to 10000")
    assert turn.files == []
    assert turn.status_history[-1] == {"description": 'Looked at "checkpoint"', "done": True}


async def test_lists_are_short_enough_for_a_model(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    turn = await ask(webui, model, ToolCall("list_workflows"))
    (result,) = turn.tool_results
    assert result["tasks"]["upscale"] == ["upscale"]
    assert "checkpoint" in [line["name"] for line in result["workflows"]]
    assert tokens(turn.requests[-1].tool_results[0]) < 600
    refused = failed(await ask(webui, model, run("draw_a_picture_for_me")))
    assert refused["code"] == "unknown_workflow"
    assert "A task can be named, or a workflow that does it: text_to_image (" in refused["hint"]
    (found,) = (await ask(webui, model, ToolCall("list_models", {"kind": "loras"}))).tool_results
    assert found["loras"] == MODELS["loras"]

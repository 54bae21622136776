"""What an administrator has set up for ComfyUI in Open WebUI's own image settings, taken over without a valve."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.chats import ask, attach
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.pictures import png, still
from tests.support.runs import key_of, make, run_wish, small_graph
from tests.support.stand_in import StandIn

URL = "http://gpu:8188"


def row(kind: str, key: str, *ids: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "node_ids": list(ids), **more}


MAPPING = (
    row("prompt", "text", "6"),
    row("model", "ckpt_name", "4"),
    row("width", "width", "5"),
    row("height", "height", "5"),
    row("steps", "steps", "3"),
    row("seed", "seed", "3"),
)


def half(graph: Any = None, *mapping: dict[str, Any], **more: str) -> tool.PictureSettings:
    """One half of the page, set up for ComfyUI."""
    workflow = "" if graph is None else json.dumps(graph)
    said = {"engine": "comfyui", "url": URL, "workflow": workflow, "nodes": json.dumps(mapping), **more}
    return tool.PictureSettings(**said)


def settings(
    generation: tool.PictureSettings | None = None,
    editing: tool.PictureSettings | None = None,
    *,
    mine: dict[str, Any] | None = None,
    role: str = "user",
    **valves: Any,
) -> tool.Settings:
    """The settings of a call with this page and these valves."""
    page = tool.ImageSettings(generation or tool.PictureSettings(), editing or tool.PictureSettings())
    user = {"id": "u", "role": role, "valves": tool.UserValves(**(mine or {}))}
    return tool.resolve(tool.Valves(**valves), user, page)


def addresses(found: tool.Settings) -> list[tuple[str, str]]:
    return [(endpoint.url, key_of(endpoint)) for endpoint in found.endpoints]


async def drawn(comfy: StandIn, found: tool.Settings, **arguments: Any) -> tool.RunResult:
    """What becomes of a call of generate_image with these settings."""
    return await run_wish(comfy, found.request("a fox", **arguments), found.catalogue)


def posted(comfy: StandIn, node_id: str) -> dict[str, Any]:
    """What the inputs of a node were in the last prompt."""
    return dict(comfy.prompts[-1]["prompt"][node_id]["inputs"])


# --- where the servers are ---


def test_the_address_comes_with_its_key() -> None:
    assert addresses(settings(half(api_key="k3y")))[0] == (URL, "k3y")


def test_the_valves_go_before_address_and_key() -> None:
    assert addresses(settings(half(api_key="k3y"), endpoint="http://a:1")) == [("http://a:1", "")]
    assert addresses(settings(half(api_key="k3y"), api_key="valve"))[0] == (URL, "valve")


def test_the_key_of_the_page_also_goes_to_its_address_in_the_valve_and_nowhere_else() -> None:
    found = settings(half(api_key="k3y"), endpoint=f"{URL}, http://other:1")
    assert addresses(found) == [(URL, "k3y"), ("http://other:1", "")]


def test_a_server_for_new_pictures_and_another_for_edits_are_used_as_one() -> None:
    found = settings(half(api_key="one"), half(url="http://edits:8188", api_key="two"))
    assert addresses(found) == [(URL, "one"), ("http://edits:8188", "two")]
    assert not any(endpoint.guessed for endpoint in found.endpoints)


def test_the_server_for_edits_counts_only_where_comfyui_edits() -> None:
    found = settings(half(), half(url="http://edits:8188", engine="openai"))
    assert "http://edits:8188" not in [url for url, _ in addresses(found)]


# --- what is drawn ---


async def test_the_workflow_is_run_with_its_mapping_size_steps_and_model(comfy: StandIn) -> None:
    found = settings(half(small_graph(comfy), *MAPPING, model="tiny.safetensors", size="128x64", steps="3"))
    made = await drawn(comfy, found)
    assert made.workflow == "open-webui"
    assert posted(comfy, "6")["text"] == "a fox"
    assert posted(comfy, "4")["ckpt_name"] == "tiny.safetensors"
    assert (posted(comfy, "5")["width"], posted(comfy, "5")["height"]) == (128, 64)
    assert posted(comfy, "3")["steps"] == 3


async def test_the_call_goes_before_the_page(comfy: StandIn) -> None:
    found = settings(half(small_graph(comfy), *MAPPING, model="tiny.safetensors", size="128x64", steps="3"))
    await drawn(comfy, found, size="64x64", steps=4, model="tiny2.safetensors")
    assert posted(comfy, "5")["width"] == 64
    assert posted(comfy, "3")["steps"] == 4
    assert posted(comfy, "4")["ckpt_name"] == "tiny2.safetensors"


async def test_what_the_mapping_leaves_out_stays_as_the_workflow_has_it(comfy: StandIn) -> None:
    found = settings(half(small_graph(comfy), MAPPING[0], model="tiny.safetensors", size="128x64", steps="9"))
    await drawn(comfy, found)
    assert posted(comfy, "4")["ckpt_name"] == "sd_xl_base_1.0.safetensors"
    assert (posted(comfy, "5")["width"], posted(comfy, "3")["steps"]) == (64, 2)


async def test_the_mapping_goes_before_what_the_graph_seems_to_mean(comfy: StandIn) -> None:
    await drawn(comfy, settings(half(small_graph(comfy), row("prompt", "text", "7"))))
    assert posted(comfy, "7")["text"] == "a fox"
    assert posted(comfy, "6")["text"] == "a lighthouse at dusk"


async def test_rows_of_the_mapping_may_be_written_in_every_way_that_the_page_stores(comfy: StandIn) -> None:
    mapping = [
        {"type": "prompt", "node_ids": "6, 7"},
        {"type": "n", "node_ids": [5]},
        {"key": "sampler_name", "node_ids": ["3"], "value": "ddim"},
        {"type": "model", "key": "ckpt_name", "node_ids": ""},
        "no row at all",
    ]
    await drawn(comfy, settings(half(small_graph(comfy), *mapping)))  # type: ignore[arg-type]
    assert posted(comfy, "6")["text"] == posted(comfy, "7")["text"] == "a fox"
    assert posted(comfy, "3")["sampler_name"] == "ddim"


async def test_a_link_in_a_mapped_input_gives_way_as_it_does_in_open_webui(comfy: StandIn) -> None:
    graph = small_graph(comfy)
    graph["20"] = {"class_type": "PrimitiveInt", "inputs": {"value": 640}}
    graph["5"]["inputs"]["width"] = ["20", 0]
    await drawn(comfy, settings(half(graph, *MAPPING, size="128x64", steps="2")))
    assert posted(comfy, "5")["width"] == 128


async def test_a_valve_goes_before_the_workflow_and_what_belongs_to_it(comfy: StandIn) -> None:
    page = half(small_graph(comfy), *MAPPING, steps="3")
    for found in (settings(page, workflow="checkpoint"), settings(page, mine={"workflow": "checkpoint"})):
        made = await drawn(comfy, found, size="64x64")
        assert made.workflow == "checkpoint"
        assert made.used["steps"] != 3


def test_the_word_auto_in_the_valve_has_a_workflow_chosen_by_models(comfy: StandIn) -> None:
    found = settings(half(small_graph(comfy), *MAPPING), workflow="auto")
    assert found.request("a fox").workflow is None


async def test_a_workflow_that_the_server_cannot_run_gives_way_and_it_is_said(comfy: StandIn) -> None:
    graph = small_graph(comfy)
    graph["4"]["inputs"]["ckpt_name"] = "gone.safetensors"
    made = await drawn(comfy, settings(half(graph, MAPPING[0], MAPPING[2], MAPPING[4], steps="3")), size="64x64")
    assert made.workflow != "open-webui"
    assert made.used["steps"] != 3
    assert any("gone.safetensors" in note and tool.PAGE in note for note in made.notes)


async def test_a_model_that_is_not_installed_gives_way_and_it_is_said(comfy: StandIn) -> None:
    made = await drawn(comfy, settings(half(model="gone.safetensors", size="64x64")))
    assert any("gone.safetensors" in note and "left out" in note for note in made.notes)


async def test_the_workflow_is_found_by_its_server_among_several(comfy: StandIn) -> None:
    """The first server lacks a file, and the second has it."""
    graph = small_graph(comfy)
    graph["4"]["inputs"]["ckpt_name"] = "only-here.safetensors"
    found = settings(half(graph, MAPPING[0], MAPPING[2], MAPPING[3], MAPPING[4], size="128x64", steps="3"))
    async with StandIn(models={"checkpoints": ["only-here.safetensors"]}) as other:
        made = await make(comfy, other, wish=found.request("a fox"), catalogue=found.catalogue)
        assert made.workflow == "open-webui"
        assert posted(other, "3")["steps"] == 3
        assert posted(other, "5")["width"] == 128


async def test_an_edit_by_a_workflow_that_takes_no_prompt_does_without_and_it_is_said(comfy: StandIn) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }
    found = settings(None, half(graph, row("image", "image", "1")))
    made = await run_wish(comfy, found.edit("a fox", [still()], None), found.catalogue)
    assert made.workflow == "open-webui-edit"
    assert any("takes no prompt" in note for note in made.notes)


async def test_pictures_go_in_by_the_order_of_the_mapping(comfy: StandIn) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "b.png"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "y"}},
    }
    found = settings(None, half(graph, row("image", "image", "2", "1")))
    await run_wish(comfy, found.edit("a fox", [still(), still(colour="blue")], None), found.catalogue)
    forth = posted(comfy, "2")["image"]
    await run_wish(comfy, found.edit("a fox", [still(colour="blue"), still()], None), found.catalogue)
    assert posted(comfy, "1")["image"] == forth


# --- what the menus of the valves offer ---


async def test_the_menu_of_an_administrator_tells_what_an_empty_valve_means_and_offers_auto() -> None:
    tool._CALLS.clear()
    assert [choice["value"] for choice in tool.Valves.workflow_menu(None)][1] != "auto"
    call = tool.LastCall((), workflows=("open-webui",))
    tool.note_call("admin", True, call)
    empty, auto, *_ = tool.Valves.workflow_menu({"id": "admin"})
    assert (empty["value"], auto["value"]) == ("", "auto")
    assert "image settings" in empty["label"]
    assert "auto" not in [choice["value"] for choice in tool.UserValves.workflow_menu({"id": "admin"})]
    assert "auto" not in [choice["value"] for choice in tool.Valves.edit_workflow_menu({"id": "admin"})]
    tool._CALLS.clear()


# --- what does not count ---


@pytest.mark.parametrize("engine", ["openai", "", "automatic1111"])
def test_of_another_engine_the_address_counts_alone(comfy: StandIn, engine: str) -> None:
    found = settings(half(small_graph(comfy), *MAPPING, engine=engine, model="dall-e-3", size="1024x1024"))
    assert addresses(found)[0][0] == URL
    assert not found.preferences
    assert not found.catalogue.given


def test_the_example_that_open_webui_ships_is_nobodys_workflow(monkeypatch: pytest.MonkeyPatch, comfy: StandIn) -> None:
    graph = small_graph(comfy)
    shipped = SimpleNamespace(COMFYUI_DEFAULT_WORKFLOW=f"\n{json.dumps(graph, indent=2)}\n")
    monkeypatch.setitem(tool.sys.modules, "open_webui.config", shipped)
    found = settings(half(graph, row("prompt", "text"), model="tiny.safetensors", size="512x512"))
    assert {name: value.value for name, value in found.preferences.items()} == {"model": "tiny.safetensors"}


def test_a_user_without_the_right_to_it_does_without(comfy: StandIn) -> None:
    page = tool.ImageSettings(half(small_graph(comfy), *MAPPING))
    rights = replace(tool.EVERY_RIGHT, allowed=replace(tool.ALL_ALLOWED, workflows=("checkpoint",)))
    found = tool.resolve(tool.Valves(), {"id": "u"}, page, None, rights)
    assert "workflow" not in found.preferences


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', "null"])
def test_a_workflow_that_cannot_be_read_breaks_nothing_and_administrators_are_told(text: str) -> None:
    found = settings(half(workflow=text), role="admin")
    assert not found.catalogue.given
    assert any("The workflow there" in line for line in found.image_settings)


# --- what administrators are told ---


def test_administrators_are_told_what_was_taken_over_and_users_are_not(comfy: StandIn) -> None:
    page = half(small_graph(comfy), *MAPPING, row("n", "batch_size", "99"), model="tiny.safetensors", api_key="k3y-k3y")
    told = " ".join(settings(page, role="admin").image_settings)
    for word in ('"open-webui"', "prompt", "tiny.safetensors", '"99"', "no such node"):
        assert word in told
    assert "k3y" not in told
    assert settings(page).image_settings == ()


def test_administrators_are_told_which_valve_goes_before_it(comfy: StandIn) -> None:
    told = settings(half(small_graph(comfy), *MAPPING), role="admin", workflow="flux").image_settings
    assert any('the valve "Workflow for new pictures" goes before' in line for line in told)


# --- in every release ---


async def test_before_0_10_the_page_hangs_on_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tool.sys.modules, "open_webui.models.config", None)
    held = SimpleNamespace(
        COMFYUI_BASE_URL=URL,
        IMAGE_GENERATION_ENGINE="comfyui",
        IMAGE_STEPS=50,
        COMFYUI_WORKFLOW_NODES=list(MAPPING),
        IMAGE_EDIT_MODEL="edit.safetensors",
    )
    request = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(config=held)))
    page = await tool.read_image_settings(request)
    assert (page.generation.url, page.generation.steps) == (URL, "50")
    assert json.loads(page.generation.nodes) == list(MAPPING)
    assert page.editing.model == "edit.safetensors"


async def test_a_release_that_has_them_elsewhere_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tool.sys.modules, "open_webui.models.config", SimpleNamespace(Config=None))
    assert await tool.read_image_settings(None) == tool.NO_IMAGE_SETTINGS


# --- in a real Open WebUI ---


@pytest.fixture
async def page(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> AsyncIterator[dict[str, Any]]:
    """No valve is set; what the test puts here is saved by `use`, and taken back at its end."""
    await webui.set_valves("comfyui")
    before = await webui.request("GET", "/api/v1/images/config")
    yield dict(before)
    await webui.request("POST", "/api/v1/images/config/update", json=before)


@pytest.mark.open_webui
@pytest.mark.real_clock
async def test_an_administrator_who_has_set_up_comfyui_there_has_to_set_nothing(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, page: dict[str, Any]
) -> None:
    edits = small_graph(comfy)
    edits["20"] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
    edits["5"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["20", 0], "vae": ["4", 2]}}
    drawing = small_graph(comfy)
    page |= {
        "IMAGE_GENERATION_ENGINE": "comfyui",
        "IMAGE_GENERATION_MODEL": "tiny.safetensors",
        "IMAGE_SIZE": "128x64",
        "IMAGE_STEPS": 3,
        "COMFYUI_BASE_URL": comfy.url,
        "COMFYUI_WORKFLOW": json.dumps(drawing),
        "COMFYUI_WORKFLOW_NODES": list(MAPPING),
        "IMAGE_EDIT_ENGINE": "comfyui",
        "IMAGES_EDIT_COMFYUI_BASE_URL": comfy.url,
        "IMAGES_EDIT_COMFYUI_WORKFLOW": json.dumps(edits),
        "IMAGES_EDIT_COMFYUI_WORKFLOW_NODES": [row("image", "image", "20"), row("prompt", "text", "6")],
    }
    await webui.request("POST", "/api/v1/images/config/update", json=page)
    turn = await ask(webui, model, ToolCall("generate_image", {"prompt": "a fox"}))
    (result,) = turn.tool_results
    assert result["workflow"] == "open-webui"
    assert posted(comfy, "5") == {"width": 128, "height": 64, "batch_size": 1}
    assert (posted(comfy, "3")["steps"], posted(comfy, "4")["ckpt_name"]) == (3, "tiny.safetensors")
    admin = await webui.admin()
    photo = await attach(webui, admin, png((32, 32)))
    turn = await ask(webui, model, ToolCall("edit_image", {"prompt": "a fox"}), files=[photo])
    assert turn.tool_results[0]["workflow"] == "open-webui-edit"
    assert turn.files
    turn = await ask(webui, model, ToolCall("comfyui_status", {}))
    assert "open-webui-edit" in json.dumps(turn.tool_results[0]["image settings"])

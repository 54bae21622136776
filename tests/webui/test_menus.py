"""The menus of valves: what Open WebUI's page lists to choose from, as calls of this process last saw it."""

import inspect
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.house import ADMINISTRATOR, OWNER, STRANGER, House, house
from tests.support.stand_in import StandIn
from tests.support.stand_in.files import File

OWN, OTHER, ADMIN = {"id": OWNER}, {"id": STRANGER}, {"id": ADMINISTRATOR}


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    """A server with a workflow of the name "portrait"."""
    async with StandIn(step_seconds=0.0) as server:
        server.userdata["workflows/portrait.json"] = File(b"{}")
        yield server


@pytest.fixture
async def home() -> AsyncIterator[House]:
    tool._CALLS.clear()
    with house() as place:
        yield place
        tool._CALLS.clear()
        await tool.close_servers()


async def look(home: House, address: str, who: str = OWNER, mine: dict[str, Any] | None = None, **valves: Any) -> None:
    """A call of a user lists what there is."""
    for method in ("list_workflows", "list_models"):
        answer = await home.call(method, who, valves={"endpoint": address, **valves}, mine=mine or {})
        assert answer["status"] == "done"


def chosen_from(choices: list[dict[str, str]]) -> list[str]:
    return [choice["value"] for choice in choices]


# --- what there is to choose ---


@pytest.mark.parametrize("model", [tool.Valves, tool.UserValves])
async def test_before_any_call_there_are_the_empty_choice_and_the_bundled_workflows(
    home: House, model: type[tool.WithMenus]
) -> None:
    assert chosen_from(model.model_menu(OWN)) == [""]
    bundled = {entry.name for entry in tool.bundled_entries() if entry.task == "text_to_image"}
    assert chosen_from(model.workflow_menu(OWN))[0] == ""
    assert set(chosen_from(model.workflow_menu(OWN))[1:]) == bundled
    assert "flux2-edit" in chosen_from(model.edit_workflow_menu(OWN))


@pytest.mark.parametrize("model", [tool.Valves, tool.UserValves])
async def test_after_a_call_there_is_what_the_server_has(
    home: House, comfy: StandIn, model: type[tool.WithMenus]
) -> None:
    await look(home, comfy.url)
    assert "portrait" in chosen_from(model.workflow_menu(OWN))
    models = chosen_from(model.model_menu(OWN))
    assert models[0] == ""
    assert set(models[1:]) >= set(comfy.models["checkpoints"])


async def test_no_server_is_asked_for_a_menu(home: House, comfy: StandIn) -> None:
    await look(home, comfy.url)
    asked = len(comfy.requests)
    for menu in ("model_menu", "workflow_menu", "edit_workflow_menu"):
        assert getattr(tool.Valves, menu)(ADMIN)
        assert getattr(tool.UserValves, menu)(OWN)
    assert len(comfy.requests) == asked


async def test_several_servers_are_listed_by_their_names(home: House, comfy: StandIn) -> None:
    await look(home, f"fast = {comfy.url}, slow = {comfy.url.replace('127.0.0.1', 'localhost')}")
    assert chosen_from(tool.UserValves.server_menu(OWN)) == ["", "fast", "slow"]


async def test_a_single_server_is_nothing_to_choose(home: House, comfy: StandIn) -> None:
    await look(home, comfy.url)
    assert chosen_from(tool.UserValves.server_menu(OWN)) == [""]


async def test_a_menu_has_no_end_of_names_no_more_than_it_has_room_for(home: House, comfy: StandIn) -> None:
    comfy.models["checkpoints"] = [f"m{number}.safetensors" for number in range(1000)]
    await look(home, comfy.url)
    assert len(tool.UserValves.model_menu(OWN)) == tool.MOST_IN_MENU + 1


# --- who sees what ---


async def test_where_there_are_no_rules_everybody_sees_what_anybody_saw(home: House, comfy: StandIn) -> None:
    await look(home, comfy.url)
    assert "portrait" in chosen_from(tool.UserValves.workflow_menu(OTHER))


async def test_where_there_are_rules_users_see_what_their_own_call_saw(home: House, comfy: StandIn) -> None:
    rules = "everybody: workflows = checkpoint; models = none"
    await look(home, comfy.url, ADMINISTRATOR, rights=rules)
    await look(home, comfy.url, rights=rules)
    assert "portrait" in chosen_from(tool.Valves.workflow_menu(ADMIN))
    assert chosen_from(tool.UserValves.workflow_menu(OWN)) == ["", "checkpoint"]
    assert chosen_from(tool.UserValves.model_menu(OWN)) == [""]
    assert "portrait" not in chosen_from(tool.UserValves.workflow_menu(OTHER))


async def test_what_was_seen_by_other_rules_is_forgotten(home: House, comfy: StandIn) -> None:
    await look(home, comfy.url)
    await look(home, comfy.url, ADMINISTRATOR, rights="everybody: workflows = checkpoint")
    assert "portrait" not in chosen_from(tool.UserValves.workflow_menu(OWN))


async def test_a_users_own_server_is_in_their_own_menus_alone(home: House, comfy: StandIn) -> None:
    mine = {"endpoint": comfy.url}
    await look(home, "http://127.0.0.1:9", mine=mine, allow_user_endpoints=True, reachable="any")
    assert "portrait" in chosen_from(tool.UserValves.workflow_menu(OWN))
    assert "portrait" not in chosen_from(tool.UserValves.workflow_menu(OTHER))
    assert "portrait" not in chosen_from(tool.Valves.workflow_menu(ADMIN))


async def test_a_users_pasted_workflow_is_in_their_own_menu_alone(home: House, comfy: StandIn) -> None:
    flow = json.dumps({"mine": {"1": {"class_type": "SaveImage", "inputs": {}}}})
    await look(home, comfy.url, mine={"workflows": flow}, allow_user_workflows=True)
    assert "mine" in chosen_from(tool.UserValves.workflow_menu(OWN))
    assert "mine" not in chosen_from(tool.UserValves.workflow_menu(OTHER))
    assert "mine" not in chosen_from(tool.Valves.workflow_menu(ADMIN))


# --- what is stored ---


def as_loaded_by_open_webui(monkeypatch: pytest.MonkeyPatch, model: type[tool.WithMenus]) -> None:
    monkeypatch.setattr(model, "__module__", f"tool_comfyui_{'0' * 32}")


async def test_a_users_stored_value_is_a_choice_though_nothing_was_seen(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_loaded_by_open_webui(monkeypatch, tool.UserValves)
    stored = {"comfyui": {"model": "gone.safetensors"}, "another": {"model": "gpt"}}
    user = {**OWN, "settings": {"ui": {}, "tools": {"valves": stored}}}
    choices = tool.UserValves.model_menu(user)
    assert chosen_from(choices) == ["", "gone.safetensors"]
    assert choices[1]["label"] == "gone.safetensors (not seen lately)"


@pytest.mark.parametrize(
    "stored", [None, [], "gAAAA", {"comfyui": "gAAAA"}, {"comfyui": [1]}, {"comfyui": {"model": 7}}]
)
async def test_settings_in_any_form_leave_a_menu(home: House, monkeypatch: pytest.MonkeyPatch, stored: Any) -> None:
    as_loaded_by_open_webui(monkeypatch, tool.UserValves)
    assert tool.UserValves.model_menu({**OWN, "settings": {"tools": {"valves": stored}}})[0]["value"] == ""
    assert tool.UserValves.model_menu(None)[0]["value"] == ""


@pytest.mark.parametrize("module", ["tool_comfyui", f"tool_comfyui_{'0' * 32}", f"tool_my_comfyui_{'0' * 32}"])
def test_a_tools_id_is_read_from_its_module(module: str) -> None:
    named = tool.MODULE_OF_TOOL.fullmatch(module)
    assert named
    assert named[1] in ("comfyui", "my_comfyui")


# --- the schema that Open WebUI sends to its page ---


@pytest.mark.parametrize("model", [tool.Valves, tool.UserValves])
def test_every_menu_is_one_for_open_webui(model: type[tool.WithMenus]) -> None:
    for name, valve in model.model_json_schema()["properties"].items():
        inputs = valve.get("input", {})
        if inputs.get("type") == "select":
            menu = getattr(model, inputs["options"])
            assert "__user__" in inspect.signature(menu).parameters
            assert menu(OWN)[0]["value"] == valve["default"] == "", name
        else:
            assert inputs in ({}, {"type": "password"}), name

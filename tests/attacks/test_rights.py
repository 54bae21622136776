"""Rights: Open WebUI's own permission to make images, and what an ordinary user is told of where the servers are."""

import json
from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer, status
from tests.attacks.house import ADMINISTRATOR, OWNER, STRANGER, House, valves
from tests.attacks.table import each, told
from tests.support import ROOT

# Names that are not settled: the valve by which Open WebUI's permission counts, and what the error calls it.
PERMISSION_VALVE = "require_image_permission"
PERMISSION_NAMES = ("features.image_generation", "image generation", "Image Generation")
PERMISSION = "features.image_generation"

MAKING: dict[str, dict[str, Any]] = {
    "generate_image": {"prompt": "a fox"},
    "edit_image": {"prompt": "a fox", "images": ["1"]},
    "upscale_image": {"image": "1"},
    "run_workflow": {"workflow": "w"},
}

# --- Open WebUI's permission ---


@pytest.mark.parametrize("method", MAKING)
async def test_who_may_not_make_images_in_open_webui_makes_none_where_the_valve_says_so(
    home: House, server: HostileServer, method: str
) -> None:
    home.permissions = {(OWNER, PERMISSION)}
    asked = {**MAKING[method], "valves": valves(server, **{PERMISSION_VALVE: True})}
    answer = await home.call(method, STRANGER, **asked)
    assert answer["status"] == "error"
    assert any(name in told(answer) for name in PERMISSION_NAMES)
    assert (server.prompts, home.read) == ([], [])
    assert (STRANGER, PERMISSION) in home.asked_permissions


@pytest.mark.parametrize("who", [OWNER, ADMINISTRATOR])
async def test_who_may_make_images_makes_them(home: House, server: HostileServer, who: str) -> None:
    home.permissions = {(OWNER, PERMISSION)}
    await home.call("run_workflow", who, workflow="w", valves=valves(server, **{PERMISSION_VALVE: True}))
    assert server.prompts


async def test_the_permission_does_not_count_unless_an_administrator_says_so(
    home: House, server: HostileServer
) -> None:
    await home.call("run_workflow", STRANGER, workflow="w", valves=valves(server))
    assert server.prompts


def test_the_valve_is_off_and_says_what_it_is_about() -> None:
    valve = tool.Valves.model_fields[PERMISSION_VALVE]
    assert valve.default is False
    assert any(name in f"{valve.title} {valve.description}" for name in PERMISSION_NAMES)
    assert str(valve.title) in (ROOT / "README.md").read_text(encoding="utf-8")


# --- where the servers are ---

NO_SERVER = "http://127.0.0.1:9"
INNER = "10.11.12.13:8188"
METHODS: dict[str, dict[str, Any]] = {
    "generate_image": {"prompt": "a fox"},
    "run_workflow": {"workflow": "w"},
    "list_workflows": {},
    "describe_workflow": {"workflow": "w"},
    "list_models": {"kind": "loras"},
    "comfyui_status": {},
    "check_job": {},
}
FAULTS: dict[str, dict[str, Any]] = {
    "it needs a key": {"": status(401)},
    "a proxy has nothing behind it": {"": status(502)},
    "it gets too many requests": {"": status(429)},
    "it is something else": {"": status(200, "<html>", Content_Type="text/html")},
    "it sends on": {"": status(302, Location=f"http://{INNER}/login")},
    "it answers with something else": {"": [1, 2]},
    "it answers in another shape": {"/object_info": {"Maker": 1}, "/queue": {"queue_running": [1]}, "/models": 5},
    "it does not list what is saved": {"/userdata": status(500)},
}


def addresses(server: HostileServer) -> tuple[str, ...]:
    return f"127.0.0.1:{server.port}", str(server.port), INNER, "127.0.0.1"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answers", each(FAULTS))
async def test_an_ordinary_user_is_not_told_where_a_server_is(
    home: House, server: HostileServer, method: str, answers: dict[str, Any]
) -> None:
    server.answers = answers
    answer = await home.call(method, OWNER, **METHODS[method], valves=valves(server))
    for address in addresses(server):
        assert address not in told(answer) + home.shown


@pytest.mark.parametrize("method", METHODS)
async def test_an_ordinary_user_is_not_told_where_nobody_answers(home: House, method: str) -> None:
    answer = await home.call(method, OWNER, **METHODS[method], valves=valves(f"{NO_SERVER},{NO_SERVER}/b"))
    assert "127.0.0.1" not in told(answer) + home.shown


async def test_what_a_server_says_of_itself_does_not_tell_where_it_is(home: House, server: HostileServer) -> None:
    server.ends = False
    text = f"connect to {server.url}/x failed, see http://127.0.0.1:{server.port} and 127.0.0.1:{server.port}"
    server.frames = [
        {"type": "execution_error", "data": {"prompt_id": "PROMPT", "node_id": "1", "exception_message": text}},
        {"type": "executing", "data": {"prompt_id": "PROMPT", "node": None}},
    ]
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert str(server.port) not in told(answer) + home.shown


async def test_a_users_own_valve_does_not_tell_the_names_of_hosts(home: House, server: HostileServer) -> None:
    two = f"{server.url}, {NO_SERVER}"
    answer = await home.call("comfyui_status", valves=valves(two), mine={"server": "nothing"})
    assert "127.0.0.1" not in told(answer) + home.shown


async def test_an_administrator_is_told(home: House, server: HostileServer) -> None:
    server.answers = FAULTS["it needs a key"]
    answer = await home.call("comfyui_status", ADMINISTRATOR, valves=valves(server))
    assert server.url in told(answer)


async def test_a_server_is_called_by_the_name_that_it_was_given(home: House, server: HostileServer) -> None:
    answer = await home.call("comfyui_status", valves=valves(f"fast = {server.url}, slow = {NO_SERVER}"))
    assert [one["name"] for one in answer["servers"]] == ["fast", "slow"]
    assert "127.0.0.1" not in json.dumps(answer)

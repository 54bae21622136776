"""Rights: Open WebUI's own permission to make images, addresses, workflows, files and jobs, and what an ordinary user
is told of where the servers are."""

import json
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer, status
from tests.attacks.house import ADMINISTRATOR, GRAPH, OWNER, STRANGER, House, valves
from tests.attacks.table import each, told
from tests.support.pictures import png

PERMISSION = "features.image_generation"
KEY = "sk-very-secret-1234567890"

MAKING: dict[str, dict[str, Any]] = {
    "generate_image": {"prompt": "a fox"},
    "edit_image": {"prompt": "a fox", "images": ["1"]},
    "upscale_image": {"images": "1"},
    "run_workflow": {"workflow": "w"},
}

# --- Open WebUI's permission ---


@pytest.mark.parametrize("method", MAKING)
async def test_who_may_not_make_images_in_open_webui_makes_none_where_the_valve_says_so(
    home: House, server: HostileServer, method: str
) -> None:
    home.permissions = {(OWNER, PERMISSION)}
    asked = {**MAKING[method], "valves": valves(server, require_image_permission=True)}
    answer = await home.call(method, STRANGER, **asked)
    assert answer["code"] == "not_permitted"
    assert "Image Generation" in answer["error"]
    assert PERMISSION in answer["hint"]
    assert (server.prompts, home.read) == ([], [])
    assert (STRANGER, PERMISSION) in home.asked_permissions


@pytest.mark.parametrize("who", [OWNER, ADMINISTRATOR])
async def test_who_may_make_images_makes_them(home: House, server: HostileServer, who: str) -> None:
    home.permissions = {(OWNER, PERMISSION)}
    await home.call("run_workflow", who, workflow="w", valves=valves(server, require_image_permission=True))
    assert server.prompts


async def test_what_open_webui_permits_everybody_counts(home: House, server: HostileServer) -> None:
    home.settings["user.permissions"] = {"features": {"image_generation": True}}
    await home.call("run_workflow", STRANGER, workflow="w", valves=valves(server, require_image_permission=True))
    assert server.prompts


@pytest.mark.parametrize("permitted", [True, False])
async def test_before_open_webui_0_10_the_permission_counts_as_well(
    home: House, server: HostileServer, permitted: bool
) -> None:
    del sys.modules["open_webui.models.config"]
    home.state.config = SimpleNamespace(USER_PERMISSIONS={"features": {"image_generation": permitted}})
    await home.call("run_workflow", STRANGER, workflow="w", valves=valves(server, require_image_permission=True))
    assert bool(server.prompts) is permitted


async def test_an_open_webui_that_does_not_tell_permits_nothing(home: House, server: HostileServer) -> None:
    vars(sys.modules["open_webui.utils.access_control"]).pop("has_permission")
    asked = {"workflow": "w", "valves": valves(server, require_image_permission=True)}
    answer = await home.call("run_workflow", OWNER, **asked)
    assert answer["code"] == "not_permitted"
    assert "does not tell" in answer["error"]
    assert "valve" in answer["hint"]
    assert server.prompts == []


async def test_the_permission_does_not_count_unless_an_administrator_says_so(
    home: House, server: HostileServer
) -> None:
    await home.call("run_workflow", STRANGER, workflow="w", valves=valves(server))
    assert server.prompts


def test_the_valve_is_off_and_says_what_it_is_about() -> None:
    valve = tool.Valves.model_fields["require_image_permission"]
    assert valve.default is False
    assert PERMISSION in str(valve.description)


# --- addresses and workflows of one's own ---


@pytest.mark.parametrize("method", ["generate_image", "run_workflow", "list_workflows", "check_job", "comfyui_status"])
async def test_an_address_of_ones_own_is_asked_nothing_unless_an_administrator_allows_it(
    home: House, server: HostileServer, method: str
) -> None:
    with HostileServer() as own:
        asked = {**METHODS[method], "valves": valves(server), "mine": {"endpoint": own.url, "api_key": "mine"}}
        answer = await home.call(method, OWNER, **asked)
        assert (answer["code"], own.requests, server.requests) == ("endpoint_refused", [], [])
        await home.call(
            method, OWNER, **{**asked, "valves": valves(server, allow_user_endpoints=True, reachable="any")}
        )
        assert own.requests
        await home.call(method, OWNER, **asked)  # what is allowed no longer is asked of nobody, whatever is stored
        assert server.requests == []


async def test_a_workflow_of_ones_own_is_not_run_unless_an_administrator_allows_it(
    home: House, server: HostileServer
) -> None:
    own = {"mine": {"workflows": json.dumps({"own": GRAPH})}, "workflow": "own"}
    answer = await home.call("run_workflow", OWNER, **own, valves=valves(server))
    assert (answer["code"], server.prompts) == ("unknown_workflow", [])
    await home.call("run_workflow", OWNER, **own, valves=valves(server, allow_user_workflows=True))
    assert len(server.prompts) == 1
    await home.call("run_workflow", OWNER, **own, valves=valves(server))
    assert len(server.prompts) == 1


@pytest.mark.parametrize("method", ["run_workflow", "describe_workflow"])
async def test_an_attached_workflow_is_not_even_read_unless_an_administrator_allows_it(
    home: House, server: HostileServer, method: str
) -> None:
    file = {"type": "file", "id": home.put(json.dumps(GRAPH).encode(), "own.json")}
    messages = [{"role": "user", "content": "x", "files": [file]}]
    asked = {"workflow": "attached", "valves": valves(server)}
    if method == "run_workflow":
        asked["messages"] = messages
    answer = await home.call(method, OWNER, **asked)
    assert (answer["code"], server.prompts, home.read) == ("unknown_workflow", [], [])


# --- files and jobs of others ---

FILE_SHAPES = ("{}", "/api/v1/files/{}/content", "http://localhost:3000/api/v1/files/{}/content")


@pytest.mark.parametrize("shape", FILE_SHAPES)
@pytest.mark.parametrize(
    ("method", "argument"),
    [("edit_image", "images"), ("edit_image", "mask"), ("upscale_image", "images"), ("run_workflow", "images")],
)
async def test_a_file_of_somebody_else_is_as_one_that_is_not_there(
    home: House, server: HostileServer, method: str, argument: str, shape: str
) -> None:
    theirs, own = home.put(b"secret", owner=OWNER), home.put(png(), owner=STRANGER)
    asked = {**MAKING[method], "valves": valves(server)}
    if argument == "mask":
        asked["images"] = [own]
    answers = []
    for file in (theirs, "0" * 8 + theirs[8:]):
        words = shape.format(file)
        answer = await home.call(method, STRANGER, **{**asked, argument: [words] if argument == "images" else words})
        answers.append(json.loads(json.dumps(answer).replace(file, "FILE")))
    assert answers[0]["code"] == "bad_argument"
    assert answers[0] == answers[1]
    assert theirs not in home.read
    assert server.prompts == []


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize("who", [STRANGER, ADMINISTRATOR])
async def test_a_job_of_somebody_else_is_neither_brought_nor_cancelled(
    home: House, server: HostileServer, who: str, cancel: bool
) -> None:
    job = "0c6d1a52-0000-4000-8000-000000000001"
    mark = tool.Chat(user={"id": OWNER}).owner.mark(job)
    server.queue["queue_running"] = [[1, job, GRAPH, {"comfyui_tool": {"mark": mark}}, ["1"]]]
    for job_id in (job, ""):
        answer = await home.call("check_job", who, job_id=job_id, cancel=cancel, valves=valves(server))
        assert job not in told(answer)
        assert answer["status"] == "error" or "brought" not in answer
    assert [method for method, _, _ in server.requests if method != "GET"] == []
    await home.call("check_job", OWNER, job_id=job, cancel=True, valves=valves(server))
    assert [path for method, path, _ in server.requests if method == "POST"] != []


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
    "it does not list its templates": {"/templates": status(500)},
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


@pytest.mark.parametrize("path", ["/prompt", "/ws", "/view", "/history", "/queue", "/upload", "/object_info", "/api"])
@pytest.mark.parametrize("answers", each(FAULTS))
async def test_a_fault_on_one_route_tells_neither_where_the_server_is_nor_its_key(
    home: House, server: HostileServer, caplog: pytest.LogCaptureFixture, answers: dict[str, Any], path: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.outputs = {"1": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}}
    server.files = {"*": png()}
    server.inputs["image"] = [["x.png"], {"image_upload": True}]
    graph = {"1": {"class_type": "Maker", "inputs": {"text": "a fox", "seed": 1, "image": "x.png"}}}
    server.answers = {path: next(iter(answers.values()))}
    asked = {"valves": valves(server, graph, api_key=KEY, max_wait_minutes=0.1)}
    answer = [await home.call("run_workflow", OWNER, workflow="w", images=[home.put(png())], **asked)]
    for job in ("", "0c6d1a52-0000-4000-8000-000000000001"):
        answer.append(await home.call("check_job", OWNER, job_id=job, cancel=bool(job), **asked))
    said = told(answer) + home.shown + told([(kept.filename, kept.page, kept.metadata) for kept in home.stored])
    assert not [address for address in addresses(server) if address in said]
    assert KEY not in said + caplog.text


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


SAID: dict[str, tuple[str, str, str]] = {
    "an address": ("http://10.0.0.5:8188", "see http://10.0.0.5:8188/x?y=1, please.", "see ComfyUI, please."),
    "another scheme": ("http://10.0.0.5:8188", "ws://10.0.0.5:8188/ws is closed", "ComfyUI is closed"),
    "a login": ("http://10.0.0.5:8188", "http://u:p@10.0.0.5:8188/x", "ComfyUI"),
    "a host alone": ("http://10.0.0.5:8188", "10.0.0.5 is down.", "ComfyUI is down."),
    "another port of the host": ("http://10.0.0.5:8188", "10.0.0.5:11434 is down", "ComfyUI is down"),
    "an escaped address": (
        "http://a.example:81",
        "?to=http%3A%2F%2Fa.example%3A81%2Fx",
        "?to=http%3A%2F%2FComfyUI%2Fx",
    ),
    "a part of a proxy": ("https://a.example/comfy", "no route /comfy/queue", "no route ComfyUI"),
    "a name's own address": ("http://gpu:8188", "10.0.0.5:8188 or [fd00::5]:8188", "ComfyUI or ComfyUI"),
    "requests": ("http://gpu:8188", "HTTPConnectionPool(host='gpu', port=8188)", "HTTPConnectionPool(host=ComfyUI)"),
    "aiohttp": ("http://gpu:8188", "host gpu:8188 ssl:no ('10.0.0.5', 8188)", "host ComfyUI ssl:no (ComfyUI)"),
    "a word that is a host": ("http://flux:8188", 'flux, "flux", flux.sft, v1-flux:8188', ""),
    "other hosts": ("http://10.0.0.5:8188", "10.0.0.55, 110.0.0.5, 1.10.0.0.5 and 8188", ""),
    "other names": ("http://a.example", "b.a.example, a.example.org, a-example", ""),
    "Comfy Cloud": ("https://cloud.comfy.org", "see https://cloud.comfy.org/billing", ""),
}


@pytest.mark.parametrize(("address", "text", "told_text"), SAID.values(), ids=SAID)
def test_a_text_names_a_server_in_the_place_of_its_address(address: str, text: str, told_text: str) -> None:
    hiding = tool.Hiding((tool.Endpoint(address),))
    assert hiding.of({"a": [text]}) == {"a": [told_text or text]}


async def test_a_text_that_tells_where_a_server_is_is_shown_without_it(home: House, server: HostileServer) -> None:
    server.outputs = {"1": {"text": [f"made on {server.url}/x"]}}
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert answer["text"] == ["made on ComfyUI"]
    assert [kept.page for kept in home.stored] == ["```text\nmade on ComfyUI\n```"]


async def test_an_ordinary_user_reads_a_whole_sentence(home: House, server: HostileServer) -> None:
    named = {**valves(f"fast = {NO_SERVER}"), "max_jobs": 0}
    for asked, sentence in ((valves(NO_SERVER), "ComfyUI does not answer"), (named, "fast does not answer")):
        answer = await home.call("run_workflow", workflow="w", valves=asked)
        assert answer["error"] == f"{sentence} (connection refused)."
    server.answers = FAULTS["it sends on"]
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert answer["error"] == "A login page stands in front of ComfyUI."


@pytest.mark.parametrize(
    "address", ["http://10.11.12.13:port", "http://10.11.12.13 8188", "http://[10.11.12.13", "ftp://10.11.12.13"]
)
async def test_an_address_that_is_refused_is_told_to_administrators_only(home: House, address: str) -> None:
    answers = [await home.call("comfyui_status", who, valves={"endpoint": address}) for who in (OWNER, ADMINISTRATOR)]
    assert [answer["code"] for answer in answers] == ["bad_argument"] * 2
    assert "10.11" not in told(answers[0])


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

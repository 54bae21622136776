"""The tool in a real Open WebUI: how it is installed, what a call shows and stores, whose valves count, and what is
left when it fails or is stopped."""

import asyncio
import html
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from build import IMPORTABLE
from tests.support import SOURCE
from tests.support.chats import ask, failed
from tests.support.model_server import MODEL_ID, ModelServer, ToolCall
from tests.support.older_pages import adds_files, limits_what_tools_store, says_in_channels, writes_a_message_at_once
from tests.support.ollama import Ollama
from tests.support.open_webui import ApiError, OpenWebUI
from tests.support.pictures import opened
from tests.support.serving import serving
from tests.support.stand_in import StandIn
from tests.support.tokens import tokens
from tests.support.watching import until

pytestmark = pytest.mark.open_webui

SMALL = {"size": "128x128", "steps": 6, "workflow": "checkpoint"}


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.1) as server:
        yield server


def call(prompt: str = "a lighthouse at dusk", **arguments: Any) -> ToolCall:
    return ToolCall("generate_image", {"prompt": prompt, **SMALL, **arguments})


def is_preview(event: Any) -> bool:
    return event.type == "chat:message:files" and "data:" in str(event.data)


# --- installing ---


async def test_what_formats_the_editors_text_gives_it_back_unchanged(webui: OpenWebUI) -> None:
    formatted = await webui.request("POST", "/api/v1/utils/code/format", json={"code": SOURCE})
    assert formatted["code"] == SOURCE


ARGUMENTS = {
    "generate_image": {
        "prompt": "string",
        "negative_prompt": "string",
        "size": "string",
        "count": "integer",
        "seed": "integer",
        "steps": "integer",
        "guidance": "number",
        "model": "string",
        "loras": "array",
        "workflow": "string",
    },
    "edit_image": {
        "prompt": "string",
        "images": "array",
        "mask": "string",
        "strength": "number",
        "size": "string",
        "count": "integer",
        "seed": "integer",
        "model": "string",
        "workflow": "string",
    },
    "upscale_image": {"images": "array", "scale": "number", "size": "string", "model": "string"},
    "run_workflow": {"workflow": "string", "prompt": "string", "inputs": "object", "images": "array"},
    "list_workflows": {"search": "string", "all": "boolean"},
    "describe_workflow": {"workflow": "string", "diagram": "boolean"},
    "list_models": {"kind": "string", "search": "string"},
    "check_job": {"job_id": "string", "cancel": "boolean"},
    "comfyui_status": {},
}


async def test_the_specification_is_right_and_short(webui: OpenWebUI, model: ModelServer) -> None:
    methods = {method["name"]: method for method in await webui.specification("comfyui")}
    required = {name: method["parameters"].get("required", []) for name, method in methods.items()}
    assert {name: needs for name, needs in required.items() if needs} == {
        "generate_image": ["prompt"],
        "edit_image": ["prompt"],
        "run_workflow": ["workflow"],
        "describe_workflow": ["workflow"],
    }
    assert {
        name: {argument: item["type"] for argument, item in method["parameters"]["properties"].items()}
        for name, method in methods.items()
    } == ARGUMENTS
    for method in methods.values():
        assert all(item["description"] for item in method["parameters"]["properties"].values())
    sent = json.dumps([{"type": "function", "function": method} for method in methods.values()])
    # Such JSON has 3.74 characters a token, measured with cl100k.
    assert len(sent) / 3.74 <= 1500


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"prompt": "a fox", "count": "plenty"}, 'The argument count is "plenty", which is not a number.'),
        ({"prompt": "a fox", "seed": "mine"}, 'The argument seed is "mine", which is not a number.'),
        ({"size": "1:1"}, "The argument prompt is empty."),
    ],
)
async def test_what_open_webui_would_fail_at_itself_gets_an_error_of_ours(
    webui: OpenWebUI, model: ModelServer, arguments: dict[str, Any], error: str
) -> None:
    assert failed(await ask(webui, model, ToolCall("generate_image", arguments)))["error"] == error


async def test_numbers_in_words_and_units_reach_the_tool(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    turn = await ask(webui, model, call(count="two", steps="3 steps", seed="7", guidance="2.5"))
    (result,) = turn.tool_results
    assert (len(result["images"]), result["seed"]) == (2, 7)
    sampler = next(node for node in comfy.prompts[-1]["prompt"].values() if node["class_type"] == "KSampler")
    assert (sampler["inputs"]["steps"], sampler["inputs"]["cfg"]) == (3, 2.5)


async def test_the_json_file_is_imported_as_it_is(webui: OpenWebUI) -> None:
    """The page of Open WebUI posts each tool in the file, and formats nothing."""
    (imported,) = json.loads(IMPORTABLE.read_text(encoding="utf-8"))
    imported["id"] = "imported"
    await webui.request("POST", "/api/v1/tools/create", json=imported)
    created = await webui.request("GET", "/api/v1/tools/id/imported")
    assert "generate_image" in {spec["name"] for spec in created["specs"]}
    assert created["content"] == SOURCE
    await webui.request("DELETE", "/api/v1/tools/id/imported/delete")


async def test_the_file_can_be_fetched_by_url(webui: OpenWebUI, model: ModelServer) -> None:
    async def give(_: web.Request) -> web.Response:
        return web.Response(text=SOURCE)

    async with serving("/comfyui_tool.py", give) as url:
        form = {"url": f"{url}/comfyui_tool.py"}
        loaded = await webui.request("POST", "/api/v1/tools/load/url", json=form)
    assert loaded["content"] == SOURCE


async def install(webui: OpenWebUI, *arguments: str) -> list[str]:
    """Run the tool's own installer as an administrator would; its lines."""
    return await run_command(webui, "install", *arguments)


async def run_command(webui: OpenWebUI, name: str, *arguments: str) -> list[str]:
    """Run one of the tool's commands that are about an Open WebUI; its lines."""
    token = (await webui.admin()).token
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, tool.__file__, name, "--url", webui.url, "--token", token, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode()
    assert token not in out.decode()
    return out.decode().splitlines()


async def test_the_installer_and_the_check_find_what_open_webui_calls_after_its_file(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    """Import by URL has Open WebUI take the id from the name of the file."""
    await webui.delete_tool("comfyui")
    await webui.create_tool("comfyui_tool", "ComfyUI", SOURCE.replace("from any model", "of any model", 1))
    lines = await install(webui, "--endpoint", comfy.url)
    assert lines[0] == f'Updated the tool "comfyui_tool" to version {tool.VERSION}.'
    assert [one["id"] for one in await webui.tools()].count("comfyui") == 0
    assert (await webui.valves("comfyui_tool"))["endpoint"] == comfy.url
    lines = await run_command(webui, "check")
    assert not any("more than once" in line or "not installed" in line for line in lines)
    await webui.create_tool("comfyui", "ComfyUI", SOURCE, public=True)
    await webui.set_valves("comfyui", endpoint=comfy.url)
    assert any("more than once" in line for line in await run_command(webui, "check"))
    await webui.delete_tool("comfyui_tool")


def other_defaults(source: str) -> str:
    """The file as another version of it: one valve has another default, and one is there that this version lacks."""
    other = source.replace(
        "    quality: int = Field(\n        default=90", "    quality: int = Field(\n        default=55", 1
    )
    assert other != source
    return other.replace("    endpoint: str = Field(\n", '    gone: str = ""\n    endpoint: str = Field(\n', 1)


@pytest.mark.parametrize("newer", [SOURCE, other_defaults(SOURCE)], ids=["to this version", "to another one"])
async def test_an_update_keeps_every_valve_that_was_set_whatever_the_new_defaults_are(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, newer: str
) -> None:
    older = other_defaults(SOURCE) if newer == SOURCE else SOURCE
    await webui.update_tool("comfyui", older)
    default = 55 if newer == SOURCE else 90
    held = {"endpoint": comfy.url, "quality": default, "model": "tiny.safetensors", "max_count": 7, "previews": False}
    await webui.set_valves("comfyui", **held)
    await webui.update_tool("comfyui", newer)
    stored = await webui.valves("comfyui")
    assert {name: stored.get(name) for name in held} == held
    turn = await ask(webui, model, ToolCall("comfyui_status", {}))
    assert turn.tool_results[0]["status"] == "done"
    assert "valves" not in turn.tool_results[0], "none of them is told to count for less"
    await webui.update_tool("comfyui", SOURCE)


async def test_the_installer_creates_updates_and_then_changes_nothing(webui: OpenWebUI, model: ModelServer) -> None:
    arguments = ("--endpoint", "comfy.lan:8188", "--api-key", "k3y", "--public")
    await webui.delete_tool("comfyui")
    assert await install(webui, *arguments) == [
        'Created the tool "comfyui".',
        'Set the valve "ComfyUI address", "ComfyUI API key".',
        "All users can use it now.",
        "A model can call: check_job, comfyui_status, describe_workflow, edit_image, generate_image, list_models, "
        "list_workflows, run_workflow, upscale_image.",
    ]
    await webui.set_valves("comfyui", endpoint="http://other:1", api_key="k3y", max_count=9)
    await webui.update_tool("comfyui", SOURCE.replace("from any model", "of any model", 1))
    assert (await install(webui, *arguments))[0] == f'Updated the tool "comfyui" to version {tool.VERSION}.'
    valves = await webui.valves("comfyui")
    assert valves == {"endpoint": "http://comfy.lan:8188", "api_key": "k3y", "max_count": 9}
    before = await webui.tool("comfyui")
    assert (await install(webui, *arguments))[0].endswith(f"is up to date (version {tool.VERSION}).")
    assert await webui.tool("comfyui") == before
    assert (await webui.tool("comfyui", user=await webui.user("bob")))["id"] == "comfyui"


async def test_administrators_are_told_how_to_share_a_tool_that_is_theirs_alone(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.delete_tool("comfyui")
    assert any("--public shares it with all users" in line for line in await install(webui, "--endpoint", comfy.url))
    private = await ask(webui, model, ToolCall("comfyui_status", {}), user=await webui.admin())
    assert "Access: Public instead of Private" in private.tool_results[0]["sharing"]
    assert not any("--public" in line for line in await install(webui, "--endpoint", comfy.url, "--public"))
    for user in (await webui.admin(), await webui.user("bob")):
        shared = await ask(webui, model, ToolCall("comfyui_status", {}), user=user)
        assert "sharing" not in shared.tool_results[0]


# --- a picture ---


async def test_a_picture_ends_up_in_the_message_and_among_the_users_files(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    turn = await ask(webui, model, call(seed=7), user=bob)
    (file,) = turn.files
    (result,) = turn.tool_results
    assert (file["name"], file["type"], file["content_type"]) == ("a-lighthouse-at-dusk-7.png", "image", "image/png")
    assert turn.shown_files == turn.files
    picture = opened(await webui.download(file["id"], user=bob))
    assert picture.size == (128, 128)
    assert "a lighthouse at dusk" in picture.info["prompt"], "ComfyUI's own metadata stays in the picture"
    assert [item["id"] for item in await webui.files(bob)][:1] == [file["id"]]
    assert result["status"] == "done"
    assert result["images"] == [{"number": 1, "id": file["id"]}]
    assert (result["seed"], result["size"], result["workflow"]) == (7, "128x128", "checkpoint")
    assert (result["model"], turn.text) == ("sd_xl_base_1.0.safetensors", "Here it is.")
    assert turn.requests[-1].tool_results[0].startswith('{"status":"done","images":[{"number":1,"id":"')
    assert result["note"] == "The user sees it already; do not show or link it again."


async def test_a_file_that_is_held_on_disk_is_stored_like_any_other(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    held_on_disk = SOURCE.replace("\nMOST_FILE_BYTES_IN_MEMORY = 4 * MB", "\nMOST_FILE_BYTES_IN_MEMORY = 1 * KB")
    assert held_on_disk != SOURCE
    await webui.update_tool("comfyui", held_on_disk)
    bob = await webui.user("bob")
    turn = await ask(webui, model, call(seed=7), user=bob)
    (file,) = turn.files
    stored = await webui.download(file["id"], user=bob)
    assert (file["type"], file["content_type"], len(stored) > 1024) == ("image", "image/png", True)
    (name,) = comfy.files.names("output", "open-webui")
    made = comfy.files.get(comfy.files.find(name, "open-webui"))
    assert made and stored == made.content


async def test_the_user_sees_the_progress_and_only_the_end_is_stored(webui: OpenWebUI, model: ModelServer) -> None:
    turn = await ask(webui, model, call(seed=7, steps=20))
    texts = turn.status_texts
    assert texts[:2] == ["Connecting to ComfyUI", "Loading the model"]
    assert any("%" in text and " left" in text for text in texts)
    assert texts[-2] == "Saving"
    assert texts[-1].startswith("Done in ")
    assert texts[-1].endswith(" · seed 7")
    assert [status["description"] for status in turn.status_history] == texts[-1:]
    assert turn.status_history[0]["done"] is True
    assert turn.statuses[-1]["done"] is True
    assert len(turn.previews) >= 2
    assert "data:" not in json.dumps(turn.message)


async def test_many_steps_cost_no_more_database_writes_than_few(webui: OpenWebUI, model: ModelServer) -> None:
    await ask(webui, model, call())  # from then on it is known what the server can do, for the buttons
    few = await ask(webui, model, call(steps=5))
    many = await ask(webui, model, call(steps=30))
    assert len(many.previews) > len(few.previews)
    assert len(many.writes) == len(few.writes)


async def test_a_picture_its_buttons_and_its_last_status_are_one_write_of_the_chat(
    webui: OpenWebUI, model: ModelServer
) -> None:
    if not writes_a_message_at_once(webui.version):
        pytest.skip("Of this release a message cannot be read as it was last written.")
    await ask(webui, model, call())  # from then on it is known what the server can do, for the buttons
    nothing = await ask(webui, model)
    picture = await ask(webui, model, call())
    assert len(picture.files) == len(picture.message["embeds"]) == len(picture.status_history) == 1
    assert len(picture.writes) - len(nothing.writes) == 1


async def test_two_calls_in_one_answer_each_add_their_pictures(webui: OpenWebUI, model: ModelServer) -> None:
    turn = await ask(webui, model, call("one", seed=1), call("two", seed=2, count=2))
    names = ["one-1.png", "two-2-1.png", "two-2-2.png"]
    assert [file["name"] for file in turn.files] == names
    assert turn.shown_files == turn.files
    during = [event.data["files"] for event in turn.files_events if is_preview(event) and len(event.data["files"]) > 1]
    assert during
    assert all(files[0]["name"] == "one-1.png" for files in during)


async def test_a_file_is_its_owners_alone(webui: OpenWebUI, model: ModelServer) -> None:
    turn = await ask(webui, model, call(), user=await webui.user("bob"))
    with pytest.raises(ApiError) as refused:
        await webui.download(turn.files[0]["id"], user=await webui.user("carol"))
    assert refused.value.status == 404
    status, _, _ = await webui.fetch("GET", turn.files[0]["url"], anonymous=True)
    assert status == 401


@pytest.mark.parametrize(
    "prompt",
    ["<script>alert(1)</script> <b>fox</b> & \"quotes\" 'single' `code`", "🦊 лиса 狐", "a fox, " * 1430],
    ids=["markup", "scripts", "ten thousand characters"],
)
async def test_any_prompt_reaches_comfyui_as_it_is(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, prompt: str
) -> None:
    turn = await ask(webui, model, call(prompt))
    texts = [node["inputs"].get("text") for node in comfy.prompts[0]["prompt"].values()]
    assert prompt in texts
    assert len(turn.files) == 1
    assert len(turn.files[0]["name"]) < 90


async def test_a_temporary_chat_gets_its_pictures_once_and_no_preview_that_would_stay(
    webui: OpenWebUI, model: ModelServer
) -> None:
    turn = await ask(webui, model, call("one", seed=1), call("two", seed=2), temporary=True)
    assert not (turn.previews and adds_files(webui.version, temporary=True))
    assert [file["name"] for file in turn.shown_files] == ["one-1.png", "two-2.png"]
    assert turn.status_texts[-1].startswith("Done in ")


async def test_with_prompt_based_function_calling_it_works_as_well(webui: OpenWebUI, model: ModelServer) -> None:
    turn = await ask(webui, model, call("one", seed=1), params={"function_calling": "legacy"})
    assert [file["name"] for file in turn.files] == ["one-1.png"]
    assert turn.status_history[-1]["description"].endswith("seed 1")
    told = turn.requests[-1].messages
    assert any('{"status":"done","images":[{"number":1,' in html.unescape(str(message)) for message in told)


async def test_a_channel_gets_the_picture_and_never_a_preview(webui: OpenWebUI, model: ModelServer) -> None:
    model.script([call("one", seed=1, steps=12)], then="Here it is.")
    await webui.set_default_tools(["comfyui"], model=MODEL_ID)
    channel = await webui.request("POST", "/api/v1/channels/create", json={"name": "pictures"})
    messages = f"/api/v1/channels/{channel['id']}/messages"
    said = {"content": f"<@M:{MODEL_ID}|{MODEL_ID}> Draw"}
    asked = await webui.request("POST", f"{messages}/post", json=said)
    answer: dict[str, Any] = {}
    async with asyncio.timeout(30):
        while not (answer.get("meta") or {}).get("done"):
            await asyncio.sleep(0.1)
            thread = await webui.request("GET", f"{messages}/{asked['id']}/thread")
            answer = next((message for message in thread if message["meta"]), {})
    data = await webui.request("GET", f"{messages}/{answer['id']}/data")
    await webui.request("POST", "/api/v1/models/model/delete", json={"id": MODEL_ID})
    await webui.request("DELETE", f"/api/v1/channels/{channel['id']}/delete")
    (file,) = data["files"]
    assert file["name"] == "one-1.png"
    if says_in_channels(webui.version):
        assert "Here it is." in answer["content"]
    assert "data:" not in json.dumps(data)


# --- valves ---


async def test_without_a_valve_the_address_in_open_webuis_image_settings_is_used(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.set_valves("comfyui")
    settings = await webui.request("GET", "/api/v1/images/config")
    await webui.request("POST", "/api/v1/images/config/update", json={**settings, "COMFYUI_BASE_URL": comfy.url})
    turn = await ask(webui, model, call())
    await webui.request("POST", "/api/v1/images/config/update", json=settings)
    assert turn.tool_results[0]["status"] == "done"


async def test_before_a_run_the_ollama_in_open_webuis_connections_unloads_its_models(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.set_valves("comfyui", endpoint=comfy.url, unload_ollama=True, free_memory="after each run")
    settings = await webui.request("GET", "/ollama/config")
    async with Ollama("qwen3:8b") as ollama:
        mine = {"OLLAMA_BASE_URLS": [ollama.url], "OLLAMA_API_CONFIGS": {"0": {"key": "s3cret"}}}
        await webui.request("POST", "/ollama/config/update", json={**settings, "ENABLE_OLLAMA_API": True, **mine})
        turn = await ask(webui, model, call())
        await webui.request("POST", "/ollama/config/update", json=settings)
        assert ollama.loaded == []
        assert ("GET", "/api/ps", "Bearer s3cret", None) in ollama.asked
    assert turn.tool_results[0]["status"] == "done"
    await until(lambda: comfy.freed)


async def test_a_users_own_server_is_used_once_the_administrator_allows_it(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    async with StandIn(api_key="bobs") as mine:
        await webui.set_user_valves("comfyui", bob, endpoint=mine.url, api_key="bobs", size="64x64")
        await webui.set_valves("comfyui", endpoint=comfy.url, api_key="admins")
        refused = await ask(webui, model, call(), user=bob)
        assert not mine.requests
        await webui.set_valves(
            "comfyui", endpoint=comfy.url, api_key="admins", allow_user_endpoints=True, reachable="any"
        )
        allowed = await ask(webui, model, ToolCall("generate_image", {"prompt": "x"}), user=bob)
        keys = {request.headers.get("Authorization") for request in mine.requests}
    await webui.set_user_valves("comfyui", bob)
    assert refused.tool_results[0]["code"] == "endpoint_refused"
    assert (allowed.tool_results[0]["status"], allowed.tool_results[0]["size"]) == ("done", "64x64")
    assert keys == {"Bearer bobs"}
    assert not comfy.prompts


async def test_each_group_of_open_webui_uses_what_the_rules_give_it(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    people = [await webui.user(name) for name in ("ann", "bob")]
    for user, name in zip(people, ("Design", "Sales"), strict=True):
        group = await webui.request("POST", "/api/v1/groups/create", json={"name": name, "description": name})
        await webui.request("POST", f"/api/v1/groups/id/{group['id']}/users/add", json={"user_ids": [user.id]})
    rules = "everybody: workflows = none\ngroup design: workflows = checkpoint\ngroup Sales: workflows = flux*"
    await webui.set_valves("comfyui", endpoint=comfy.url, rights=rules)
    wanted = {"prompt": "x", "workflow": "checkpoint", "size": "64x64", "steps": 1}
    turns = [await ask(webui, model, ToolCall("generate_image", wanted), user=user) for user in people]
    await webui.set_valves("comfyui", endpoint=comfy.url)
    results = [turn.tool_results[0] for turn in turns]
    assert [result["status"] for result in results] == ["done", "error"]
    assert results[1]["code"] == "unknown_workflow"


async def test_junk_in_the_stored_valves_does_not_break_the_chat(webui: OpenWebUI, model: ModelServer) -> None:
    bob = await webui.user("bob")
    junk = {"size": ["?"], "previews": "perhaps", "model": 7, "evil": {"a": 1}, "endpoint": None}
    settings = {"ui": {}, "tools": {"valves": {"comfyui": junk}}}
    await webui.request("POST", "/api/v1/users/user/settings/update", json=settings, user=bob)
    turn = await ask(webui, model, ToolCall("generate_image", {"prompt": "x"}), user=bob)
    await webui.set_user_valves("comfyui", bob)
    assert not turn.error
    assert turn.tool_results[0]["status"] == "error"
    assert "7" in turn.tool_results[0]["error"]


async def test_previews_can_be_switched_off_by_a_user(webui: OpenWebUI, model: ModelServer) -> None:
    bob = await webui.user("bob")
    await webui.set_user_valves("comfyui", bob, previews=False)
    turn = await ask(webui, model, call(steps=12), user=bob)
    await webui.set_user_valves("comfyui", bob)
    assert (turn.previews, len(turn.files)) == ([], 1)


async def test_valves_have_titles_and_hide_their_keys(webui: OpenWebUI, model: ModelServer) -> None:
    for schema in (
        await webui.valves_schema("comfyui"),
        await webui.valves_schema("comfyui", user=await webui.user("bob")),
    ):
        assert all(item["title"] and item["description"] for item in schema["properties"].values())
        assert schema["properties"]["api_key"]["input"] == {"type": "password"}


async def test_menus_have_what_is_stored_and_what_a_call_saw(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    valves = {"endpoint": comfy.url}
    await webui.set_valves("comfyui", **valves, model="gone.safetensors")
    await webui.set_user_valves("comfyui", bob, model="mine.safetensors")
    await ask(webui, model, ToolCall("list_models", {}), user=bob)
    for user, stored in ((None, "gone.safetensors"), (bob, "mine.safetensors")):
        schema = await webui.valves_schema("comfyui", user=user)
        menu = [choice["value"] for choice in schema["properties"]["model"]["input"]["options"]]
        assert menu[:2] == ["", stored]
        assert "tiny.safetensors" in menu
    await webui.set_user_valves("comfyui", bob)
    await webui.set_valves("comfyui", **valves)


# --- the permission to make images ---


async def test_open_webuis_own_permission_counts_where_the_valve_says_so(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    path = "/api/v1/users/default/permissions"
    permissions = await webui.request("GET", path)
    forbidden = {**permissions, "features": {**permissions["features"], "image_generation": False}}
    await webui.set_valves("comfyui", endpoint=comfy.url, require_image_permission=True)
    bob = await webui.user("bob")
    turns = [await ask(webui, model, call("allowed"), user=bob)]
    await webui.request("POST", path, json=forbidden)
    try:
        turns += [await ask(webui, model, call("x"), user=user) for user in (bob, await webui.admin())]
    finally:
        await webui.request("POST", path, json=permissions)
    results = [turn.tool_results[0] for turn in turns]
    assert [result["status"] for result in results] == ["done", "error", "done"]
    assert "features.image_generation" in results[1]["hint"]


# --- the servers ---


async def test_everybody_learns_how_the_servers_stand_and_administrators_where_they_are(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    turns = [
        await ask(webui, model, ToolCall("comfyui_status", {}), user=user)
        for user in (await webui.user("bob"), await webui.admin())
    ]
    bobs, admins = (turn.tool_results[0] for turn in turns)
    assert turns[0].status_history[-1] == {"description": "ComfyUI: ready · 0 in the queue", "done": True}
    assert bobs["servers"][0]["version"] == comfy.facts.version
    assert comfy.url.removeprefix("http://") not in json.dumps(bobs)
    assert "metrics" not in bobs["servers"][0]
    assert admins["servers"][0]["url"] == comfy.url
    assert tokens(turns[0].requests[-1].tool_results[0]) <= 120


# --- when it fails ---


async def test_a_wrong_model_name_is_answered_with_the_closest(webui: OpenWebUI, model: ModelServer) -> None:
    result = failed(await ask(webui, model, call(model="sdxl bass", workflow="")))
    assert (result["code"], "sd_xl_base_1.0.safetensors" in result["hint"]) == ("model_not_installed", True)


async def test_a_server_that_is_down_is_said_to_be(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    await comfy.kill()
    result = failed(await ask(webui, model, call()))
    assert result["code"] == "server_unreachable"
    assert comfy.url in result["error"]


async def test_where_a_server_is_that_is_down_stands_nowhere_in_an_ordinary_users_chat(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await comfy.kill()
    bob = await webui.user("bob")
    turn = await ask(webui, model, call(), user=bob)
    assert failed(turn)["error"] == "ComfyUI does not answer (connection refused)."
    stored = json.dumps(await webui.chat(turn.chat_id, user=bob))
    assert "connection refused" in stored
    assert comfy.url.removeprefix("http://") not in stored + json.dumps([event.data for event in turn.events])


async def test_a_node_that_fails_half_way_leaves_no_preview(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.misbehave.fail_node = {"VAEDecode": ("RuntimeError", "no <b>good</b>")}
    turn = await ask(webui, model, call(steps=12))
    assert turn.previews
    assert failed(turn)["error"] == '"Decode" (VAEDecode) failed: no <b>good</b>'


async def test_an_argument_that_is_no_number_reaches_our_own_check(webui: OpenWebUI, model: ModelServer) -> None:
    result = failed(await ask(webui, model, call(steps="plenty")))
    assert (result["code"], "plenty" in result["error"]) == ("bad_argument", True)


async def test_a_file_that_open_webui_does_not_take_is_said_to_be_and_where_it_is(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not limits_what_tools_store(webui.version):
        pytest.skip("This release stores whatever a tool makes.")
    await webui.request("POST", "/api/v1/retrieval/config/update", json={"FILE_MAX_SIZE": 1})
    put = comfy.files.put  # a picture of more than a megabyte
    monkeypatch.setattr(comfy.files, "put", lambda place, data: put(place, data + bytes(2**21)))
    turn = await ask(webui, model, call("x"))
    await webui.request("POST", "/api/v1/retrieval/config/update", json={"FILE_MAX_SIZE": None})
    result = failed(turn)
    assert result["code"] == "storage_refused"
    assert result["error"] == (
        "Open WebUI did not store the file: it is larger than Open WebUI's limit of 1 MB for a file."
    )
    assert ".png" in result["hint"]
    assert '"Max Upload Size"' in result["hint"]


# --- stopping ---


async def test_stop_takes_our_job_away_and_leaves_the_others(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    model.script([call(steps=100)], then="never said")
    async with webui.begin("Draw", tools=["comfyui"]) as turn:
        await turn.wait_for(is_preview)
        other = await comfy.post(comfy.example_graph(steps=30))
        await turn.stop()
    await until(lambda: comfy.running + comfy.pending == [other])
    assert turn.status_history[-1] == {"description": "Stopped", "done": True}
    assert (turn.files, turn.shown_files) == ([], [])
    assert turn.text == ""
    await until(lambda: other in comfy.history)
    assert comfy.history[other]["status"]["status_str"] == "success"


async def test_stop_after_a_first_picture_keeps_that_picture(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    model.script([call("one", seed=1), call("two", steps=100)], then="never said")
    async with webui.begin("Draw", tools=["comfyui"]) as turn:
        await turn.wait_for(lambda event: is_preview(event) and len(event.data["files"]) == 2)
        await turn.stop()
    assert [file["name"] for file in turn.files] == ["one-1.png"]
    assert turn.shown_files == turn.files
    await until(lambda: not comfy.running)


async def test_a_call_outlives_an_update_of_the_tool(webui: OpenWebUI, model: ModelServer) -> None:
    model.script([call(steps=20)], then="Here it is.")
    async with webui.begin("Draw", tools=["comfyui"]) as turn:
        await turn.wait_for(is_preview)
        await webui.update_tool("comfyui", SOURCE + "\n# a newer version\n")
        await turn.done()
    assert len(turn.files) == 1


async def test_no_preview_is_in_the_database_and_no_key_in_the_log(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.set_valves("comfyui", endpoint=comfy.url, api_key="s3cret-s3cret")
    await ask(webui, model, call(steps=12))
    await comfy.kill()
    await ask(webui, model, call())

    def stored() -> int:
        with sqlite3.connect(webui.data_dir / "webui.db") as database:
            (count,) = database.execute("SELECT count(*) FROM chat WHERE chat LIKE '%data:image%'").fetchone()
            return int(count)

    assert await asyncio.to_thread(stored) == 0
    assert "s3cret-s3cret" not in webui.log.read_text(errors="replace")

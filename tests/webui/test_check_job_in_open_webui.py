"""check_job in a real Open WebUI: what outlived its call comes into the chat, once, also after a restart."""

import asyncio
import hmac
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.chats import ask
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI, Turn, User
from tests.support.pictures import opened
from tests.support.runs import done, orphan
from tests.support.stand_in import StandIn
from tests.support.watching import until

pytestmark = pytest.mark.open_webui

SMALL = {"prompt": "a lighthouse at dusk", "size": "128x128", "steps": 6, "workflow": "checkpoint"}


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.01) as server:
        yield server


async def called(webui: OpenWebUI, model: ModelServer, user: User, method: str, **arguments: Any) -> tuple[Turn, Any]:
    """One message that ends in one call: the turn, and what the model was told."""
    turn = await ask(webui, model, ToolCall(method, arguments), user=user)
    (result,) = turn.tool_results
    return turn, result


def owner(webui: OpenWebUI, user: User) -> tool.Owner:
    """What every worker of this Open WebUI makes of its secret."""
    secret = (webui.data_dir / "secret-key").read_text().encode()
    return tool.Owner(user.id, hmac.new(secret, b"comfyui_tool: whose job", "sha256").digest())


async def at_work(comfy: StandIn, of: tool.Owner, **graph: Any) -> str:
    """A job of a user that a call in another worker started."""
    prompt_id = str(uuid.uuid4())
    mark = {tool.MARK: {"mark": of.mark(prompt_id), "at": time.time()}}
    return await comfy.post(comfy.example_graph(**graph), prompt_id=prompt_id, extra_data=mark)


async def test_a_job_that_outlived_the_wait_is_brought_by_a_later_message_and_stored_once(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    await webui.set_valves("comfyui", endpoint=comfy.url, max_wait_minutes=0.1)
    comfy.misbehave.hold_at_step = 2
    before, running = await called(webui, model, bob, "generate_image", **SMALL, seed=7)
    assert (running["status"], running["job_id"]) == ("running", comfy.running[0])
    assert (before.files, before.shown_files, "error" in running) == ([], [], False)
    await done(comfy, running["job_id"])

    _, refused = await called(webui, model, await webui.user("carol"), "check_job", job_id=running["job_id"])
    assert refused["code"] == "unknown_job"

    turn, result = await called(webui, model, bob, "check_job", job_id=running["job_id"])
    (file,) = turn.files
    assert turn.shown_files == turn.files
    assert (file["name"], result["status"], result["seed"]) == ("a-lighthouse-at-dusk-7.png", "done", 7)
    assert opened(await webui.download(file["id"], user=bob)).size == (128, 128)
    stored = await webui.files(bob)
    assert stored[0]["id"] == file["id"]

    again, result = await called(webui, model, bob, "check_job", job_id=running["job_id"])
    assert [one["id"] for one in again.files] == [file["id"]]
    assert "brought before" in result["note"]
    _, rest = await called(webui, model, bob, "check_job")
    assert "brought" not in rest
    assert await webui.files(bob) == stored


async def test_without_an_id_all_that_waits_is_brought_and_the_rest_is_told_of(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    dora = await webui.user("dora")
    mine = owner(webui, dora)
    comfy.misbehave.hold_at_step = None
    job = await orphan(comfy, mine, ago=1)
    await orphan(comfy, owner(webui, await webui.user("carol")))
    comfy.misbehave.hold_at_step = 1
    at_work_now = [await at_work(comfy, mine, seed=seed) for seed in (21, 22)]
    turn, result = await called(webui, model, dora, "check_job")
    assert [file["name"] for file in turn.files] == ["a-fox-5.png"]
    (brought,) = result["brought"]
    assert brought["images"][0]["id"] == turn.files[0]["id"]
    assert [(line["job_id"], line["state"]) for line in result["jobs"]] == [
        (at_work_now[0], "running"),
        (at_work_now[1], "waiting, 1 ahead"),
    ]
    again, result = await called(webui, model, dora, "check_job")
    assert (again.files, "brought" in result) == ([], False)
    meta = [file["meta"]["data"].get(tool.JOB_KEY) for file in await webui.files(dora)]
    assert [told["prompt_id"] for told in meta] == [job]
    comfy.release()


async def test_without_an_id_the_only_job_is_waited_for(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    erik = await webui.user("erik")
    comfy.misbehave.hold_at_step = 2
    job_id = await at_work(comfy, owner(webui, erik))
    model.script([ToolCall("check_job", {})], then="Here it is.")
    async with webui.begin("Is it done?", tools=["comfyui"], user=erik) as turn:
        await until(lambda: comfy.sockets)
        await done(comfy, job_id)
        await turn.done()
    assert (len(turn.files), turn.tool_results[0]["status"]) == (1, "done")
    assert turn.shown_files == turn.files


async def test_a_job_at_work_is_cancelled_by_its_user_and_no_other(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    comfy.misbehave.hold_at_step = 2
    job_id = await at_work(comfy, owner(webui, bob))
    others = await comfy.post(comfy.example_graph())
    for arguments in ({"job_id": job_id, "cancel": True}, {"cancel": True}):
        _, refused = await called(webui, model, await webui.user("carol"), "check_job", **arguments)
        assert refused["status"] == "error"
    assert comfy.running == [job_id]
    turn, result = await called(webui, model, bob, "check_job", cancel=True)
    assert (result["status"], result["job_id"]) == ("cancelled", job_id)
    assert turn.status_history[-1] == {"description": "Job cancelled", "done": True}
    await until(lambda: comfy.running == [others])
    comfy.release()


async def test_a_stop_while_a_job_is_waited_for_leaves_the_job_at_work(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    comfy.misbehave.hold_at_step = 2
    job_id = await at_work(comfy, owner(webui, bob))
    model.script([ToolCall("check_job", {"job_id": job_id})], then="never said")
    async with webui.begin("How is it going?", tools=["comfyui"], user=bob) as turn:
        await turn.wait_for(lambda event: event.type == "status" and not event.data["done"])
        await until(lambda: comfy.sockets)
        await turn.stop()
    assert turn.status_history[-1] == {"description": "Stopped", "done": True}
    assert (comfy.running, comfy.interrupts, comfy.deleted) == ([job_id], [], [])
    comfy.release()


async def test_a_job_outlives_open_webui_and_is_brought_after_its_restart(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    comfy.misbehave.hold_at_step = 2
    logged = webui.log.stat().st_size
    model.script([ToolCall("generate_image", {**SMALL, "seed": 11})], then="never said")
    async with webui.begin("Draw", tools=["comfyui"], user=bob):
        await comfy.until_held()
        (job_id,) = comfy.running
        await asyncio.to_thread(webui.stop, keep=True)
    assert (comfy.running, comfy.interrupts, comfy.deleted) == ([job_id], [], [])
    await done(comfy, job_id)
    assert comfy.history[job_id]["status"]["status_str"] == "success"
    await asyncio.to_thread(webui.restart)
    turn, result = await called(webui, model, bob, "check_job", job_id=job_id)
    assert ([file["name"] for file in turn.files], result["status"]) == (["a-lighthouse-at-dusk-11.png"], "done")
    log = webui.log.read_bytes()[logged:].decode(errors="replace")
    assert "Task was destroyed" not in log
    assert "Unclosed" not in log

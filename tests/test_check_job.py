"""Room 8: a job that outlived its call is found again, by its user alone, and brought."""

import asyncio
import dataclasses
import io
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

import comfyui_tool as tool
from tests.conftest import Watcher, until
from tests.stand_in import StandIn

QUICK = tool.Patience(first=0.02, look_up=0.3, longest=0.5, polling=0.1, settle=0.2, gone=0.6, again=0.1)
KEY = b"the secret of this Open WebUI"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.01, preview_method="auto") as server:
        yield server
        await tool.close_servers()


def fleet(*servers: StandIn | str, user: str = "ann", key: bytes = KEY, **limits: Any) -> tool.Fleet:
    """What any worker makes of a call of this user: nothing is shared with other calls but the key."""
    urls = [server if isinstance(server, str) else server.url for server in servers]
    return tool.Fleet(tuple(map(tool.Endpoint, urls)), tool.Limits(**limits), tool.Owner(user, key), QUICK)


async def begin(comfy: StandIn, user: str = "ann", **arguments: Any) -> str:
    """A call whose wait is over while ComfyUI is still at work; the id that it tells."""
    comfy.misbehave.hold_at_step = 1
    of = fleet(comfy, user=user, wait_seconds=0.3)
    wish = tool.Settings((), of.limits, True, {}).wish(
        "a fox", **{"size": "64x96", "steps": 3, "seed": 7, "workflow": "checkpoint", **arguments}
    )
    with pytest.raises(tool.StillRunning) as still:
        await tool.make(wish, of.endpoints, of.limits, Watcher(), patience=QUICK, owner=of.owner)
    return still.value.job_id


async def done(comfy: StandIn, prompt_id: str) -> None:
    comfy.release()
    await until(lambda: prompt_id in comfy.history)


async def orphan(comfy: StandIn, owner: tool.Owner, ago: float = 300.0, wait: float = 3600.0, **graph: Any) -> str:
    """A finished job that a call of another process started, to wait so long for it, and which ended some time ago."""
    prompt_id = str(uuid.uuid4())
    about = {"workflow": "checkpoint", "model": "tiny.safetensors", "seed": 5, "name": "a-fox-5"}
    at = time.time() - ago
    mark = {"mark": owner.mark(prompt_id), "at": at, "until": at + wait, **about}
    await comfy.post(comfy.example_graph(**graph), prompt_id=prompt_id, extra_data={tool.MARK: mark})
    await until(lambda: prompt_id in comfy.history)
    for _, data in comfy.history[prompt_id]["status"]["messages"]:
        data["timestamp"] -= ago * 1000
    return prompt_id


# --- the wait ---


async def test_a_wait_that_is_over_is_no_failure_and_tells_the_id_and_what_to_do(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    with pytest.raises(tool.StillRunning) as still:
        await tool.make(
            tool.Wish("a fox"), fleet(comfy).endpoints, tool.Limits(wait_seconds=0.2), Watcher(), patience=QUICK
        )
    result = still.value.as_result()
    assert (result["status"], result["code"], result["job_id"]) == ("running", "still_running", comfy.running[0])
    assert "error" not in result
    assert "check_job" in result["note"]
    comfy.release()


# --- by its id, from any worker ---


async def test_any_worker_brings_the_job_with_all_that_its_own_call_would_have_told(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    await done(comfy, job_id)
    other = fleet(comfy)
    made = await tool.bring(other, *await tool.find_job(other, job_id), Watcher())
    (product,) = made.products
    assert Image.open(io.BytesIO(product.data)).size == (64, 96)
    assert (made.seed, made.model, made.workflow) == (7, "sd_xl_base_1.0.safetensors", "checkpoint")
    assert product.prompt_id == job_id


async def test_a_job_is_found_on_whichever_server_has_it(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    async with StandIn() as other:
        endpoint, prompt = await tool.find_job(fleet(other, comfy), job_id)
    assert (endpoint.url, prompt.prompt_id) == (comfy.url, job_id)
    comfy.release()


@pytest.mark.parametrize(("user", "key"), [("bob", KEY), ("", KEY), ("ann", b"another Open WebUI")])
async def test_nobody_but_the_user_who_started_it_finds_a_job(comfy: StandIn, user: str, key: bytes) -> None:
    job_id = await begin(comfy)
    for _ in range(2):  # while it runs, and when it is done
        with pytest.raises(tool.UnknownJob):
            await tool.find_job(fleet(comfy, user=user, key=key), job_id)
        await done(comfy, job_id)


async def test_a_job_of_comfyuis_own_page_is_nobodys(comfy: StandIn) -> None:
    job_id = await comfy.post(comfy.example_graph())
    with pytest.raises(tool.UnknownJob):
        await tool.find_job(fleet(comfy), job_id)


@pytest.mark.parametrize("job_id", ["fox", "../../history", "1234", "x" * 10_000, "' or 1=1"])
async def test_what_is_no_id_is_said_to_be_none(comfy: StandIn, job_id: str) -> None:
    with pytest.raises(tool.BadArgument, match="job_id"):
        await tool.find_job(fleet(comfy), job_id)
    assert not comfy.requests


async def test_an_id_is_taken_as_models_write_it(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    assert (await tool.find_job(fleet(comfy), f" {job_id.upper()}\n"))[1].prompt_id == job_id
    comfy.release()


async def test_a_job_that_a_silent_server_may_have_is_not_said_to_be_unknown(comfy: StandIn) -> None:
    with pytest.raises(tool.ServerUnreachable, match=r"127\.0\.0\.1:9"):
        await tool.find_job(fleet(comfy, NOBODY), str(uuid.uuid4()))


async def test_a_server_that_restarted_knows_the_job_no_more(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    await comfy.restart()
    with pytest.raises(tool.UnknownJob):
        await tool.find_job(fleet(comfy), job_id)


# --- waiting for it ---


async def test_a_job_at_work_is_waited_for_and_how_it_stands_is_shown(comfy: StandIn) -> None:
    job_id = await begin(comfy, steps=10)
    watcher, here = Watcher(), fleet(comfy)
    endpoint, prompt = await tool.find_job(here, job_id)
    run = asyncio.create_task(tool.bring(here, endpoint, prompt, watcher))
    await until(lambda: watcher.seen)
    comfy.release()
    assert (await run).products
    assert watcher.phases[0] in ("loading", "running")
    assert watcher.phases[-1] == "saving"


async def test_a_job_that_takes_longer_than_the_call_waits_goes_on(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    here = fleet(comfy)
    with pytest.raises(tool.StillRunning) as still:
        await tool.bring(here, *await tool.find_job(here, job_id), Watcher(), wait=0.2)
    assert still.value.job_id == job_id
    assert comfy.running == [job_id]
    await done(comfy, job_id)


async def test_a_stop_while_it_is_waited_for_ends_only_the_waiting(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    watcher, here = Watcher(), fleet(comfy)
    run = asyncio.create_task(tool.bring(here, *await tool.find_job(here, job_id), watcher))
    await until(lambda: watcher.seen)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (comfy.running, comfy.interrupts, comfy.deleted) == ([job_id], [], [])
    await done(comfy, job_id)
    assert (await tool.bring(here, *await tool.find_job(here, job_id), Watcher())).products


async def test_a_job_that_another_call_is_following_is_left_to_it(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    here = fleet(comfy)
    own = asyncio.create_task(
        tool.make(tool.Wish("a fox"), here.endpoints, here.limits, Watcher(), patience=QUICK, owner=here.owner)
    )
    await comfy.until_held()
    with pytest.raises(tool.StillRunning, match="Another call"):
        await tool.bring(here, *await tool.find_job(here, comfy.running[0]), Watcher())
    comfy.release()
    assert (await own).products


async def test_what_a_job_failed_of_is_told_when_it_is_asked_for(comfy: StandIn) -> None:
    job_id = await begin(comfy)
    comfy.misbehave.fail_node = {"VAEDecode": ("RuntimeError", "no good")}
    await done(comfy, job_id)
    here = fleet(comfy)
    with pytest.raises(tool.NodeFailed, match="no good"):
        await tool.bring(here, *await tool.find_job(here, job_id), Watcher())


# --- without an id ---


async def test_the_users_own_jobs_are_told_of_all_servers_the_oldest_first(comfy: StandIn) -> None:
    ann, bob = tool.Owner("ann", KEY), tool.Owner("bob", KEY)
    async with StandIn(step_seconds=0.0) as other:
        second = await orphan(comfy, ann, ago=200)
        first = await orphan(other, ann, ago=300)
        await orphan(other, bob)
        await other.post(other.example_graph())
        third = await begin(comfy)
        jobs, silent = await tool.own_jobs(fleet(comfy, other))
    assert [prompt.prompt_id for _, prompt in jobs] == [first, second, third]
    assert [type(prompt.state) for _, prompt in jobs] == [tool.Recorded, tool.Recorded, tool.Started]
    assert silent == []
    comfy.release()


async def test_servers_that_do_not_answer_are_named_and_hold_nobody_up(comfy: StandIn) -> None:
    job = await orphan(comfy, tool.Owner("ann", KEY))
    jobs, silent = await tool.own_jobs(fleet(comfy, NOBODY))
    assert [prompt.prompt_id for _, prompt in jobs] == [job]
    assert silent == ["127.0.0.1:9"]


async def test_a_job_is_left_to_its_own_call_until_that_cannot_be_about_to_bring_it(comfy: StandIn) -> None:
    ann = tool.Owner("ann", KEY)
    just_now, long_ago = await orphan(comfy, ann, ago=1), await orphan(comfy, ann, ago=300)
    outlived = await orphan(comfy, ann, ago=1, wait=0.5)
    jobs, _ = await tool.own_jobs(fleet(comfy))
    assert {prompt.prompt_id for _, prompt in jobs if tool.is_attended(ann, prompt)} == {just_now}
    alone = dataclasses.replace(ann, alone=True)
    assert not any(tool.is_attended(alone, prompt) for _, prompt in jobs), "no other process has calls"
    assert {prompt.prompt_id for _, prompt in jobs} == {just_now, long_ago, outlived}


async def test_a_line_tells_how_a_job_stands(comfy: StandIn) -> None:
    here = fleet(comfy)
    running, waiting = await begin(comfy), await begin(comfy, seed=8)
    jobs, _ = await tool.own_jobs(here)
    assert [tool.job_line(here, *job) for job in jobs] == [
        {"job_id": running, "state": "running", "workflow": "checkpoint", "name": "a-fox-7"},
        {"job_id": waiting, "state": "waiting, 1 ahead", "workflow": "checkpoint", "name": "a-fox-8"},
    ]
    comfy.release()


# --- a server that the user has named since ---


async def test_a_job_on_a_server_that_the_user_no_longer_names_is_found_all_the_same(comfy: StandIn) -> None:
    async with StandIn() as other:
        job_id = await begin(comfy)
        everybodys = tool.Valves(endpoint=f"fast = {other.url}, big = {comfy.url}")
        user = {"id": "ann", "valves": {"server": "fast"}}
        settings = tool.resolve(everybodys, user, owner=tool.Owner("ann", KEY))
        assert (await tool.find_job(settings.fleet, job_id))[1].prompt_id == job_id
        assert len((await tool.own_jobs(settings.fleet))[0]) == 1
    comfy.release()

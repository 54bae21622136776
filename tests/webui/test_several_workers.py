"""Two workers of one Open WebUI, with PostgreSQL and Redis: whichever of them takes a call, what it says is the same.

On demand, since it needs both servers: `COMFYUI_TEST_WORKERS=1 pytest -n0 tests/webui/test_several_workers.py`.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.run.test_credits import KEY, paid_graph
from tests.support.chats import ask, installed
from tests.support.databases import lacking, running_postgres, running_redis
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI, User, running_open_webui
from tests.support.pictures import opened
from tests.support.runs import done
from tests.support.stand_in import StandIn
from tests.support.stand_in.custom import PARTNER_NODES
from tests.support.watching import until

WORKERS = 2
ENOUGH = 8  # turns, after which both workers have had some, but for one time in a hundred

pytestmark = [
    pytest.mark.open_webui,
    pytest.mark.skipif("COMFYUI_TEST_WORKERS" not in os.environ, reason="COMFYUI_TEST_WORKERS=1 runs it"),
    pytest.mark.skipif(bool(lacking()), reason=f"apt-get install {lacking()}"),
]

SMALL = {"prompt": "a lighthouse", "size": "64x64", "steps": 4, "workflow": "checkpoint"}


@pytest.fixture(scope="module")
def workers() -> Iterator[OpenWebUI]:
    with running_postgres() as database, running_redis() as redis:
        settings = {
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "WEBSOCKET_MANAGER": "redis",
            "UVICORN_WORKERS": str(WORKERS),
        }
        with running_open_webui(**settings) as running:
            yield running


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.01, custom_nodes=PARTNER_NODES) as server:
        yield server


@pytest.fixture
async def model(workers: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(workers, comfy) as server:
        yield server


async def told(workers: OpenWebUI, model: ModelServer, user: User, method: str, **arguments: Any) -> Any:
    turn = await ask(workers, model, ToolCall(method, arguments), user=user)
    (result,) = turn.tool_results
    return result


async def test_both_workers_make_pictures(workers: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    admin = await workers.admin()
    runs: set[int] = set()
    for seed in range(ENOUGH):
        turn = await ask(workers, model, ToolCall("generate_image", {**SMALL, "seed": seed}), user=admin)
        (file,) = turn.files
        assert opened(await workers.download(file["id"], user=admin)).size == (64, 64)
        assert turn.status_history[-1]["description"].endswith(f"seed {seed}")
    for _ in range(ENOUGH):
        status = await told(workers, model, admin, "comfyui_status")
        counted = re.search(r"runs=(\d+)", status["servers"][0].get("metrics", ""))
        runs.add(int(counted[1]) if counted else 0)
    assert 0 < max(runs) < ENOUGH, "the other worker had some, too"


async def test_a_job_that_outlived_its_call_is_brought_by_any_worker_and_stored_once(
    workers: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await workers.user("bob")
    await workers.set_valves("comfyui", endpoint=comfy.url, max_wait_minutes=0.02)
    comfy.misbehave.hold_at_step = 2
    running = await told(workers, model, bob, "generate_image", **SMALL, seed=7)
    assert running["status"] == "running"
    await done(comfy, running["job_id"])
    brought = [await told(workers, model, bob, "check_job", job_id=running["job_id"]) for _ in range(ENOUGH)]
    assert [result["status"] for result in brought] == ["done"] * ENOUGH
    assert len({result["images"][0]["id"] for result in brought}) == 1
    assert len(await workers.files(bob)) == 1


async def test_stop_reaches_the_worker_that_has_the_call(
    workers: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    comfy.misbehave.hold_before = "KSampler"
    for seed in range(4):
        model.script([ToolCall("generate_image", {**SMALL, "seed": seed})], then="never said")
        async with workers.begin("Draw", tools=["comfyui"]) as turn:
            await until(lambda: comfy.running)
            await turn.stop()
        assert turn.status_history[-1] == {"description": "Stopped", "done": True}
        await until(lambda: not comfy.running)


async def test_of_calls_at_the_same_moment_no_more_are_paid_than_a_day_allows(
    workers: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    carol = await workers.user("carol")
    await workers.set_valves(
        "comfyui",
        endpoint=comfy.url,
        account_key=KEY,
        workflows=json.dumps({"paid": paid_graph()}),
        paid_runs="always",
        paid_day_dollars="$0.13",
    )
    for _ in range(ENOUGH):
        model.script([ToolCall("run_workflow", {"workflow": "paid"})], then="Here it is.")
    turns = await asyncio.gather(*[workers.turn("Please", tools=["comfyui"], user=carol) for _ in range(ENOUGH)])
    results = [turn.tool_results[0] for turn in turns]
    assert sum(result["status"] == "done" for result in results) == len(comfy.prompts) == 3
    assert {result["code"] for result in results if result["status"] == "error"} == {"credits_refused"}

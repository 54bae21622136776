"""Traces in ComfyUI, where its history shows every prompt to whoever may open its page: they are removed if asked, not
before everything is stored, nobody else's, and what cannot be found after that is said."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.attacks.house import OWNER, STRANGER, House
from tests.attacks.table import told
from tests.support.stand_in import StandIn

ASKED: dict[str, dict[str, Any]] = {
    "by the administrator": {"valves": {"remove_prompts": True}},
    "by the user": {"mine": {"remove_prompts": True}},
}


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn() as server:
        yield server
        await tool.close_servers()


async def draw(home: House, comfy: StandIn, who: str = OWNER, **asked: Any) -> Any:
    valves = {"endpoint": comfy.url, "size": "64x64", **asked.pop("valves", {})}
    return await home.call("generate_image", who, **{"prompt": "a fox", "steps": 1, **asked}, valves=valves)


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_a_prompt_is_removed_once_its_files_are_stored(
    home: House, comfy: StandIn, asked: dict[str, Any]
) -> None:
    answer = await draw(home, comfy, **asked, count=2)
    assert answer["status"] == "done"
    assert len(home.stored) == 2
    assert (len(comfy.prompts) > 0, comfy.history) == (True, {})


async def test_a_prompt_stays_unless_that_is_asked(home: House, comfy: StandIn) -> None:
    await draw(home, comfy)
    assert len(comfy.history) == 1


async def test_prompts_of_others_stay(home: House, comfy: StandIn) -> None:
    await draw(home, comfy, STRANGER)
    others = list(comfy.history)
    await draw(home, comfy, **ASKED["by the user"], seed=7)
    assert list(comfy.history) == others


async def test_a_prompt_of_which_files_are_missing_stays(home: House, comfy: StandIn) -> None:
    comfy.misbehave.status_for["/view"] = 500
    answer = await draw(home, comfy, **ASKED["by the user"])
    assert answer["status"] == "error"
    assert len(comfy.history) == 1
    comfy.misbehave.status_for.clear()
    valves = {"endpoint": comfy.url, "remove_prompts": True}
    answer = await home.call("check_job", OWNER, valves=valves)
    assert (answer["status"], len(home.stored), comfy.history) == ("done", 1, {})


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_the_prompt_of_a_run_that_failed_is_removed(home: House, comfy: StandIn, asked: dict[str, Any]) -> None:
    comfy.misbehave.fail_node["KSampler"] = ("RuntimeError", "no such luck")
    answer = await draw(home, comfy, **asked)
    assert answer["code"] == "node_failed"
    assert (len(comfy.prompts), comfy.history) == (1, {})


async def test_the_prompt_of_a_run_that_failed_stays_unless_that_is_asked(home: House, comfy: StandIn) -> None:
    comfy.misbehave.fail_node["KSampler"] = ("RuntimeError", "no such luck")
    await draw(home, comfy)
    assert len(comfy.history) == 1


async def test_a_removal_that_fails_is_said(home: House, comfy: StandIn) -> None:
    async def keeps_all(request: web.Request) -> web.Response | None:
        return web.Response(status=405) if (request.method, request.path) == ("POST", "/history") else None

    comfy.gate = keeps_all
    answer = await draw(home, comfy, **ASKED["by the user"])
    assert answer["status"] == "done"
    assert "could not be removed from the history of ComfyUI" in told(answer["adjusted"])


async def test_what_a_removed_job_made_is_shown_again(home: House, comfy: StandIn) -> None:
    await draw(home, comfy, **ASKED["by the user"])
    (job,) = (body["prompt_id"] for body in comfy.prompts)
    valves = {"endpoint": comfy.url}
    answer = await home.call("check_job", OWNER, job_id=job, valves=valves)
    assert (answer["status"], len(home.stored)) == ("done", 1)
    assert "no longer knows" in answer["note"]
    answer = await home.call("check_job", STRANGER, job_id=job, valves=valves)
    assert answer["code"] == "unknown_job"


async def test_what_check_job_does_not_find_for_that_reason_is_said(home: House, comfy: StandIn) -> None:
    valves = {"endpoint": comfy.url, "remove_prompts": True}
    answer = await home.call("check_job", OWNER, job_id="0c6d1a52-0000-4000-8000-000000000001", valves=valves)
    assert answer["code"] == "unknown_job"
    assert "removed from ComfyUI's history" in answer["hint"]
    answer = await home.call("check_job", OWNER, valves=valves)
    assert "removed from ComfyUI's history" in answer["note"]

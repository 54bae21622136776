"""Rooms 5 and 8: several servers as one, connections that outlive calls and event loops, and questions asked once."""

import asyncio
import contextlib
import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.serving import serving
from tests.support.stand_in import OUT_OF_MEMORY, StandIn
from tests.support.stand_in.files import File
from tests.support.watching import Watcher, until

QUICK = tool.Patience(first=0.02, look_up=0.3, longest=0.5, polling=0.1, settle=0.2, gone=0.6, again=0.1)
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[StandIn, StandIn]]:
    """Two servers that are alike."""
    async with StandIn(step_seconds=0.0) as first, StandIn(step_seconds=0.0) as second:
        yield first, second
        await tool.close_servers()


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.0) as server:
        yield server
        await tool.close_servers()


def endpoints(*servers: StandIn | str) -> list[tool.Endpoint]:
    return [tool.Endpoint(server if isinstance(server, str) else server.url) for server in servers]


async def make(where: list[tool.Endpoint], watcher: Watcher | None = None, **arguments: Any) -> tool.Made:
    """A small picture on one of these servers."""
    limits = arguments.pop("limits", tool.Limits())
    owner = arguments.pop("owner", None)
    settings = tool.Settings(tuple(where), limits, False, arguments.pop("preferences", {}))
    wish = settings.wish("a fox", **{"size": "64x64", "steps": 2, "workflow": "checkpoint", **arguments})
    return await tool.make(wish, where, limits, watcher or Watcher(), previews=False, patience=QUICK, owner=owner)


def record(server: StandIn) -> tool.Record:
    """What this process has seen of a server."""
    return tool.Pool.here().server(tool.Endpoint(server.url)).record


def posts(*servers: StandIn) -> list[int]:
    return [len(server.prompts) for server in servers]


def asked(server: StandIn, path: str) -> int:
    """How many requests for a path it got."""
    return sum(request.path == path for request in server.requests)


# --- which server is taken ---


async def test_of_servers_that_are_alike_the_administrators_first_one_is_taken(pair: tuple[StandIn, StandIn]) -> None:
    await make(endpoints(*pair))
    await make(endpoints(*pair))
    assert posts(*pair) == [2, 0]


async def test_a_server_with_the_shorter_queue_is_taken(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].misbehave.hang = True
    await pair[0].post(pair[0].example_graph())
    assert (await make(endpoints(*pair))).products
    assert posts(*pair) == [0, 1]


async def test_calls_that_are_still_on_their_way_count_so_that_calls_side_by_side_are_spread(
    pair: tuple[StandIn, StandIn],
) -> None:
    await asyncio.gather(*(make(endpoints(*pair), seed=seed) for seed in range(6)))
    assert posts(*pair) == [3, 3]


async def test_a_faster_server_is_taken_by_the_pace_that_was_measured_on_both() -> None:
    async with StandIn(step_seconds=0.2) as slow, StandIn(step_seconds=0.0) as fast:
        for server in (slow, fast):
            await make(endpoints(server))
        await make(endpoints(slow, fast))
        await make(endpoints(slow, fast), seed=1)
        assert posts(slow, fast) == [1, 3]
        await tool.close_servers()


@pytest.mark.parametrize(
    ("first", "second", "waiting", "taken"),
    [
        ({"flux": 10.0}, {"flux": 4.0}, (0, 0), 1),
        ({"flux": 10.0}, {"flux": 4.0}, (0, 1), 1),
        ({"flux": 10.0}, {"flux": 4.0}, (0, 2), 0),
        ({"flux": 2.0, "wan": 300.0}, {"flux": 4.0, "wan": 100.0}, (0, 0), 0),
        ({}, {"flux": 60.0}, (0, 0), 0),
        ({}, {"flux": 5.0}, (1, 0), 1),
    ],
    ids=["pace", "faster with one before", "faster with two before", "by workflow", "unknown pace", "a queue"],
)
async def test_the_one_that_will_be_done_soonest_comes_first(
    pair: tuple[StandIn, StandIn],
    first: dict[str, float],
    second: dict[str, float],
    waiting: tuple[int, int],
    taken: int,
) -> None:
    for server, paces, others in zip(pair, (first, second), waiting, strict=True):
        server.misbehave.hang = True
        for workflow, seconds in paces.items():
            record(server).ran(workflow, seconds)
        for _ in range(others):
            await server.post(server.example_graph())
    where = endpoints(*pair)
    assert (await tool.Fleet(tuple(where)).in_order("flux"))[0] == where[taken]


async def test_the_pace_follows_the_latest_runs_and_only_the_latest_workflows_are_remembered() -> None:
    held = tool.Record()
    for seconds in (100.0, *[1.0] * 10):
        held.ran("flux", seconds)
    assert 1.0 <= (held.pace("flux") or 0) < 2.0
    for number in range(3 * tool.REMEMBERED_PACES):
        held.ran(f"pasted {number}", 1.0)
    assert len(held.paces) == tool.REMEMBERED_PACES


async def test_the_server_that_has_the_model_is_taken_whatever_its_place(pair: tuple[StandIn, StandIn]) -> None:
    pair[1].models = {**pair[1].models, "checkpoints": ["only_here.safetensors"]}
    await pair[1].restart()
    made = await make(endpoints(*pair), model="only_here.safetensors")
    assert (made.model, posts(*pair)) == ("only_here.safetensors", [0, 1])


async def test_the_server_that_has_the_node_is_taken_whatever_its_place(pair: tuple[StandIn, StandIn]) -> None:
    image = {"input": {"required": {"image": ["IMAGE"]}}, "input_order": {"required": ["image"]}, "output": ["IMAGE"]}
    custom = {"Special": {**pair[0].engine.definitions["VAEDecode"], **image, "name": "Special"}}
    graph = pair[0].example_graph()
    graph["20"] = {"class_type": "Special", "inputs": {"image": ["8", 0]}}
    graph["9"]["inputs"]["images"] = ["20", 0]
    catalogue = tool.Catalogue((tool.Entry("mine", "administrator", graph),))
    wish = tool.Wish(workflow=tool.Wanted("mine", "workflow"))
    async with StandIn(step_seconds=0.0, custom_nodes=custom) as other:
        where = endpoints(pair[0], other)
        await tool.make(wish, where, tool.Limits(), Watcher(), catalogue=catalogue, patience=QUICK)
        assert posts(pair[0], other) == [0, 1]


async def test_the_server_on_which_a_workflow_is_saved_runs_it(pair: tuple[StandIn, StandIn]) -> None:
    pair[1].userdata["workflows/mine.json"] = File(json.dumps(pair[1].example_graph()).encode())
    wish = tool.Wish(workflow=tool.Wanted("mine", "workflow"))
    await tool.make(wish, endpoints(*pair), tool.Limits(), Watcher(), patience=QUICK)
    assert posts(*pair) == [0, 1]


async def test_a_model_that_no_server_has_is_refused_with_the_closest_names(pair: tuple[StandIn, StandIn]) -> None:
    with pytest.raises(tool.ModelNotInstalled) as error:
        await make(endpoints(*pair), model="sdxl base", workflow="")
    assert "sd_xl_base_1.0.safetensors" in error.value.hint
    assert posts(*pair) == [0, 0]


async def test_a_model_of_a_valve_is_looked_for_on_all_servers_before_one_does_without(
    pair: tuple[StandIn, StandIn],
) -> None:
    pair[1].models = {**pair[1].models, "checkpoints": ["house_style.safetensors"]}
    await pair[1].restart()
    valve = tool.Wanted("house_style.safetensors", 'The administrator\'s valve "Model"', 2)
    made = await make(endpoints(*pair), preferences={"model": valve}, workflow="")
    assert (made.model, posts(*pair)) == ("house_style.safetensors", [0, 1])


async def test_a_model_of_a_valve_that_is_for_another_workflow_does_not_keep_a_call_from_any_server(
    pair: tuple[StandIn, StandIn],
) -> None:
    valve = tool.Wanted("flux1-dev.safetensors", 'The administrator\'s valve "Model"', 2)
    made = await make(endpoints(*pair), preferences={"model": valve})
    assert (made.model, posts(*pair)) == ("sd_xl_base_1.0.safetensors", [1, 0])


# --- slow and sick servers ---


async def test_a_server_that_is_down_costs_nothing_and_is_left_alone_for_a_while(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "REST_SECONDS", 0.5)
    async with StandIn(step_seconds=0.0) as sick:
        where = endpoints(sick, comfy)
        sick.misbehave.status_for = {"/": 502}
        await make(where)
        before = len(sick.requests)
        await make(where, seed=1)
        assert before == len(sick.requests) > 0
        sick.misbehave.status_for = {}
        await until(lambda: not record(sick).resting)
        await make(where, seed=2)
        assert posts(sick, comfy) == [1, 2]


async def test_a_server_that_does_not_answer_in_time_holds_nobody_up_for_long(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "PROBE_SECONDS", 0.3)

    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async with serving("/{path:.*}", hang) as url:
        began = time.monotonic()
        await make(endpoints(url, comfy))
        await make(endpoints(url, comfy), seed=1)
        assert time.monotonic() - began < 2.0
        over.set()
        await tool.close_servers()
    assert posts(comfy) == [2]


async def test_a_server_rests_twice_as_long_each_time_up_to_a_longest() -> None:
    held, rests = tool.Record(), []
    for _ in range(20):
        held.rest("it does not answer")
        held.rest("another call noticed the same")  # which counts for nothing
        rests.append(round(held.resting_until - time.monotonic()))
        held.resting_until = 0.0
    assert rests[:4] == [5, 10, 20, 40]
    assert set(rests[8:]) == {tool.LONGEST_REST_SECONDS}
    held.recover()
    assert not held.resting
    held.rest("it does not answer")
    assert round(held.resting_until - time.monotonic()) == 5


async def test_a_fault_that_many_calls_notice_makes_one_rest(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].misbehave.status_for = {"/queue": 502}
    await asyncio.gather(*(make(endpoints(*pair), seed=seed) for seed in range(6)))
    assert record(pair[0]).faults == 1
    assert posts(*pair) == [0, 6]


@pytest.mark.parametrize("class_type", ["..", "."])
async def test_a_node_whose_name_leads_elsewhere_is_a_missing_one_and_no_server_rests_for_it(
    pair: tuple[StandIn, StandIn], class_type: str
) -> None:
    graph = pair[0].example_graph() | {"50": {"class_type": class_type, "inputs": {}}}
    wish = tool.Wish("a fox", workflow=tool.Wanted("mine", "workflow"))
    catalogue = tool.Catalogue((tool.Entry("mine", "user", graph),))
    with pytest.raises(tool.NodeNotInstalled):
        await tool.make(wish, endpoints(*pair), tool.Limits(), Watcher(), catalogue=catalogue, patience=QUICK)
    assert not any(record(server).resting for server in pair)


async def test_a_server_that_rests_is_asked_all_the_same_when_no_other_is_left(comfy: StandIn) -> None:
    record(comfy).rest("it was away")
    assert (await make(endpoints(comfy, NOBODY))).products


async def test_a_server_that_rests_is_the_last_resort_for_what_only_it_has(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].models = {**pair[0].models, "checkpoints": ["only_here.safetensors"]}
    await pair[0].restart()
    record(pair[0]).rest("it was away")
    await make(endpoints(*pair), model="only_here.safetensors")
    assert posts(*pair) == [1, 0]


async def test_when_none_answers_all_are_named(comfy: StandIn) -> None:
    comfy.misbehave.status_for = {"/": 502}
    with pytest.raises(tool.ServerUnreachable) as error:
        await make(endpoints(comfy, NOBODY))
    assert comfy.url in error.value.message
    assert NOBODY in error.value.message


# --- a job whose server died ---


async def test_a_job_whose_server_died_is_run_on_another_one_with_the_same_seed(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].misbehave.hold_at_step = 1
    watcher = Watcher()
    run = asyncio.create_task(make(endpoints(*pair), watcher))
    await pair[0].until_held()
    await pair[0].kill()
    made = await run
    seeds = {node["inputs"].get("seed") for one in pair for node in one.prompts[0]["prompt"].values()} - {None}
    assert (seeds, posts(*pair)) == ({made.seed}, [1, 1])
    assert any("lost the job, and it was run again" in note for note in made.notes)
    assert "ComfyUI lost the job; it is run again" in watcher.texts


async def test_a_job_is_run_again_once_only(pair: tuple[StandIn, StandIn]) -> None:
    for server in pair:
        server.misbehave.hold_at_step = 1
    async with StandIn(step_seconds=0.0) as third:
        run = asyncio.create_task(make(endpoints(*pair, third)))
        for server in pair:
            await server.until_held()
            await server.kill()
        with pytest.raises(tool.ServerGone):
            await run
        assert posts(*pair, third) == [1, 1, 0]


async def test_a_job_that_its_server_forgot_over_a_restart_goes_to_the_other_one(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].misbehave.hold_at_step = 1
    run = asyncio.create_task(make(endpoints(*pair)))
    await pair[0].until_held()
    await pair[0].restart()
    assert (await run).products
    assert posts(*pair) == [1, 1]


async def test_a_job_that_was_moved_is_withdrawn_from_a_server_that_comes_back_with_it(
    pair: tuple[StandIn, StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "WITHDRAW_PAUSES", (0.1,) * 100)
    monkeypatch.setattr(tool, "CLEAN_UP_SECONDS", 0.3)
    pair[0].misbehave.hold_at_step = 1
    run = asyncio.create_task(make(endpoints(*pair), steps=5))
    await pair[0].until_held()
    port, comfy = urlsplit(pair[0].url).port, pair[0]
    for site in list(comfy._runner.sites):  # nobody listens any more, and the worker goes on
        await site.stop()
    for connection in comfy._runner.server.connections if comfy._runner.server else []:
        if connection.transport:
            connection.transport.abort()
    assert (await run).products
    assert comfy.running == [comfy.prompts[0]["prompt_id"]]
    await web.TCPSite(comfy._runner, "127.0.0.1", port).start()
    await until(lambda: not comfy.running)


async def test_a_user_with_one_job_allowed_gets_it_moved_all_the_same(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].misbehave.hold_at_step = 1
    owner = tool.Owner("u", b"k")
    run = asyncio.create_task(make(endpoints(*pair), limits=tool.Limits(jobs=1), owner=owner))
    await pair[0].until_held()
    await pair[0].kill()
    assert (await run).products


@pytest.mark.usefixtures("no_batch_size")
async def test_what_was_made_before_its_server_died_is_kept_where_no_other_has_the_model(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = tool.collect

    async def hold_the_next(*arguments: Any) -> tool.Collected:
        comfy.misbehave.hold_at_step = 1
        return await collect(*arguments)

    monkeypatch.setattr(tool, "collect", hold_the_next)
    async with StandIn(models={}) as other:
        run = asyncio.create_task(make(endpoints(comfy, other), count=3))
        await comfy.until_held()
        await comfy.kill()
        made = await run
    assert len(made.products) == 1
    assert any(note.startswith("only 1 of 3 were made: ComfyUI stopped answering") for note in made.notes)


async def test_a_job_that_no_other_server_can_run_fails_of_its_own_servers_death(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    async with StandIn(models={}) as other:
        run = asyncio.create_task(make(endpoints(comfy, other)))
        await comfy.until_held()
        await comfy.kill()
        with pytest.raises(tool.ServerGone):
            await run


@pytest.mark.parametrize(
    "failure", [OUT_OF_MEMORY, ("RuntimeError", "it cannot be")], ids=["out of memory", "node failed"]
)
async def test_a_failure_of_the_workflow_itself_is_not_tried_on_another_server(
    pair: tuple[StandIn, StandIn], failure: tuple[str, str]
) -> None:
    pair[0].misbehave.fail_node = {"KSampler": failure}
    with pytest.raises((tool.OutOfMemory, tool.NodeFailed)):
        await make(endpoints(*pair))
    assert posts(*pair) == [1, 0]


# --- names, addresses and keys ---


@pytest.mark.parametrize(
    ("addresses", "keys", "found"),
    [
        ("a:1, b:2", "", [("http://a:1", "", "a:1"), ("http://b:2", "", "b:2")]),
        ("a:1, b:2", "k", [("http://a:1", "k", "a:1"), ("http://b:2", "k", "b:2")]),
        ("a:1\nb:2", "k1, k2", [("http://a:1", "k1", "a:1"), ("http://b:2", "k2", "b:2")]),
        ("a:1, b:2, c", "1,,3", [("http://a:1", "1", "a:1"), ("http://b:2", "", "b:2"), ("http://c", "3", "c")]),
        ("a:1; b:2", "k1,", [("http://a:1", "k1", "a:1"), ("http://b:2", "", "b:2")]),
        ("a:1; b:2", ",k2", [("http://a:1", "", "a:1"), ("http://b:2", "k2", "b:2")]),
        ("a:1, b:2,", "k1, k2,", [("http://a:1", "k1", "a:1"), ("http://b:2", "k2", "b:2")]),
        ("a:1\nb:2", "k\n", [("http://a:1", "k", "a:1"), ("http://b:2", "k", "b:2")]),
        ("fast = http://a:1\nbig one = b:2", "", [("http://a:1", "", "fast"), ("http://b:2", "", "big one")]),
        ("a:1, a:1/", "", [("http://a:1", "", "a:1")]),
    ],
)
def test_the_valve_takes_several_servers_in_order_each_with_its_name_and_key(
    addresses: str, keys: str, found: list[tuple[str, str, str]]
) -> None:
    assert [(one.url, one.api_key, one.name) for one in tool.read_endpoints(addresses, keys)] == found


def test_keys_that_do_not_fit_the_addresses_are_refused_with_both_numbers_and_not_repeated() -> None:
    with pytest.raises(tool.BadArgument, match="2 keys for 3 addresses") as error:
        tool.read_endpoints("a:1, b:2, c:3", "hunter1, hunter2")
    assert "hunter" not in str(error.value.as_result())


@pytest.mark.parametrize("name", ["big", "BIG ", "b:2", "http://b:2"])
def test_a_user_may_name_one_server(name: str) -> None:
    everybodys = tool.Valves(endpoint="fast = a:1, big = b:2")
    found = tool.resolve(everybodys, {"id": "u", "valves": {"server": name}})
    assert [one.url for one in found.endpoints] == ["http://b:2"]


def test_a_name_that_no_server_has_is_refused_with_the_names_that_there_are() -> None:
    everybodys = tool.Valves(endpoint="fast = a:1, big = b:2")
    with pytest.raises(tool.BadArgument) as error:
        tool.resolve(everybodys, {"id": "u", "valves": {"server": "huge"}})
    assert all(word in f"{error.value.message} {error.value.hint}" for word in ("huge", "fast", "big"))


async def test_a_pinned_server_is_used_however_busy_it_is_and_the_other_hears_nothing(
    pair: tuple[StandIn, StandIn],
) -> None:
    pair[1].misbehave.hold_at_step = 1
    await pair[1].post(pair[1].example_graph())
    await pair[1].until_held()
    everybodys = tool.Valves(endpoint=f"fast = {pair[0].url}, big = {pair[1].url}", max_jobs=0)
    found = tool.resolve(everybodys, {"id": "u", "valves": {"server": "big"}})
    run = asyncio.create_task(make(list(found.endpoints)))
    await until(lambda: pair[1].prompts)
    pair[1].release()
    assert (await run).products
    assert not pair[0].requests


async def test_each_server_gets_its_own_key_and_no_other() -> None:
    async with (
        StandIn(step_seconds=0.0, api_key="key-one") as first,
        StandIn(step_seconds=0.0, api_key="key-two") as second,
    ):
        where = tool.read_endpoints(f"{first.url}, {second.url}", "key-one, key-two")
        first.misbehave.hold_at_step = 1
        run = asyncio.create_task(make(where))
        await first.until_held()
        await first.kill()
        assert (await run).products
        for server, key in ((first, "key-one"), (second, "key-two")):
            assert {request.headers.get("Authorization") for request in server.requests} == {f"Bearer {key}"}
        await tool.close_servers()


async def test_a_server_that_wants_another_key_is_passed_over_and_told_of_when_it_is_the_last(comfy: StandIn) -> None:
    async with StandIn(step_seconds=0.0, api_key="key-one") as closed:
        where = tool.read_endpoints(f"{closed.url}, {comfy.url}", "wrong-key, other-key")
        assert (await make(where)).products
        await comfy.kill()
        with pytest.raises(tool.AccessRefused) as error:
            await make(where)
    assert closed.url in error.value.message
    assert "-key" not in str(error.value.as_result())


async def test_a_websocket_that_wants_other_credentials_sends_the_call_to_the_second_server(
    pair: tuple[StandIn, StandIn],
) -> None:
    pair[0].misbehave.refuse_websocket = 401
    assert (await make(endpoints(*pair))).products
    assert posts(*pair) == [0, 1]


@pytest.mark.parametrize("status", [401, 429])
async def test_a_post_that_a_proxy_refuses_goes_to_the_second_server(
    pair: tuple[StandIn, StandIn], status: int
) -> None:
    pair[0].misbehave.status_for = {"/prompt": status}
    assert (await make(endpoints(*pair))).products
    assert posts(*pair) == [0, 1]


async def test_a_proxy_that_is_asked_too_often_is_a_busy_server_with_the_time_to_come_back(comfy: StandIn) -> None:
    comfy.misbehave.status_for, comfy.misbehave.retry_after = {"/prompt": 429}, "17"
    with pytest.raises(tool.ServerBusy) as error:
        await make(endpoints(comfy))
    assert (error.value.code, error.value.seconds) == ("server_busy", 17)
    assert "17 seconds" in error.value.hint


# --- what several servers list ---


async def test_lists_are_those_of_all_servers_together(pair: tuple[StandIn, StandIn]) -> None:
    pair[1].models = {**pair[1].models, "checkpoints": ["only_here.safetensors", "tiny.safetensors"]}
    answers = await tool.everywhere(endpoints(*pair), lambda server: tool.list_models(server, "checkpoints", ""))
    models = tool.one_list(answers)["checkpoints"]
    assert {"only_here.safetensors", "sd_xl_base_1.0.safetensors"} <= set(models)
    assert models.count("tiny.safetensors") == 1


async def test_a_workflow_that_one_server_can_run_is_listed_as_one_that_can_be_run(
    pair: tuple[StandIn, StandIn],
) -> None:
    pair[0].models = {"checkpoints": ["sd_xl_base_1.0.safetensors"]}
    await pair[0].restart()
    catalogue = tool.Catalogue()
    alone = tool.one_list(
        await tool.everywhere(endpoints(pair[0]), lambda server: tool.list_workflows(server, catalogue, "flux"))
    )
    both = tool.one_list(
        await tool.everywhere(endpoints(*pair), lambda server: tool.list_workflows(server, catalogue, "flux"))
    )
    names = [line["name"] for line in both["workflows"]]
    assert "flux" in names
    assert len(names) == len(set(names))
    assert "cannot run" in next(line for line in alone["workflows"] if line["name"] == "flux")
    assert "cannot run" not in next(line for line in both["workflows"] if line["name"] == "flux")


def test_of_a_workflow_the_line_of_the_first_server_that_can_run_it_is_listed() -> None:
    cannot = {"name": "flux", "about": "first", "cannot run": "needs a model"}
    second, third = ({"name": "flux", "about": about} for about in ("second", "third"))
    for lines in ((cannot, second, third), (second, cannot, third)):
        assert tool.one_list([{"workflows": [line]} for line in lines]) == {"workflows": [second]}


def test_a_single_servers_list_is_told_as_it_is() -> None:
    lines = [{"name": "sdxl", "about": "x"}, {"name": "flux", "about": "y", "cannot run": "needs a model"}]
    assert tool.one_list([{"workflows": lines}]) == {"workflows": lines}


def test_of_models_every_name_is_listed_once() -> None:
    assert tool.one_list([{"vae": ["a", "b"]}, {"vae": ["b", "c"]}]) == {"vae": ["a", "b", "c"]}


async def test_a_server_that_does_not_answer_is_left_out_of_the_lists(comfy: StandIn) -> None:
    (answer,) = await tool.everywhere(endpoints(NOBODY, comfy), lambda server: server.names("/models/vae"))
    assert answer == comfy.models["vae"]


async def test_lists_of_servers_none_of_which_answers_are_an_error_that_names_them() -> None:
    with pytest.raises(tool.ServerUnreachable, match=f"Tried: {NOBODY}, http://127.0.0.1:7"):
        await tool.everywhere(endpoints(NOBODY, "http://127.0.0.1:7"), lambda server: server.names("/models/vae"))
    await tool.close_servers()


# --- one pool of connections for each event loop ---


@contextlib.asynccontextmanager
async def counting() -> AsyncIterator[tuple[str, set[Any], list[str]]]:
    """A server that answers everything with an empty object: its address, who connected, and the paths asked for."""
    peers: set[Any] = set()
    paths: list[str] = []

    async def give(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        paths.append(request.path)
        await asyncio.sleep(0.05)
        return web.json_response({})

    async with serving("/{path:.*}", give) as url:
        yield url, peers, paths
        await tool.close_servers()


async def test_calls_one_after_the_other_use_one_connection() -> None:
    async with counting() as (url, peers, paths):
        for _ in range(5):
            async with tool.open_server(tool.Endpoint(url)) as server:
                await server.get("/system_stats")
    assert (len(peers), len(paths)) == (1, 5)


async def test_each_credential_has_a_websocket_of_its_own(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    where = [tool.Endpoint(comfy.url, key) for key in ("one", "two") for _ in range(3)]
    runs = [asyncio.create_task(make([endpoint], seed=seed)) for seed, endpoint in enumerate(where)]
    await until(lambda: len(comfy.prompts) == 6)
    assert len(comfy.sockets) == 2
    assert len({prompt["client_id"] for prompt in comfy.prompts}) == 2
    comfy.release()
    await asyncio.gather(*runs)


async def test_nothing_is_opened_before_it_is_needed(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        assert not comfy.requests
        await server.names("/models")
        assert not comfy.sockets


async def test_what_is_idle_is_closed_down_to_the_last_task_and_opened_again_with_what_it_knew(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "IDLE_SECONDS", 0.1)
    before = asyncio.all_tasks()
    await make(endpoints(comfy))
    server = tool.Pool.here().server(tool.Endpoint(comfy.url))
    await until(lambda: not server.is_open and not comfy.sockets)
    await until(lambda: not comfy._runner.server.connections if comfy._runner.server else True)
    ours = {task for task in asyncio.all_tasks() - before if "comfyui_tool" in str(task.get_coro())}
    await until(lambda: all(task.done() for task in ours))
    known = sum(request.path.startswith("/object_info") for request in comfy.requests)
    assert (await make(endpoints(comfy), seed=1)).products
    assert sum(request.path.startswith("/object_info") for request in comfy.requests) == known
    assert server.record.sockets == 2


async def test_a_server_in_use_is_not_closed_however_long_it_takes(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "IDLE_SECONDS", 0.1)
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(endpoints(comfy)))
    await comfy.until_held()
    await asyncio.sleep(0.5)
    assert len(comfy.sockets) == 1
    comfy.release()
    assert (await run).products
    assert sum(request.path == "/ws" for request in comfy.requests) == 1


def loaded_anew() -> ModuleType:
    """The tool as Open WebUI loads it once more: the same file under another name."""
    spec = importlib.util.spec_from_file_location("tool_comfyui_anew", tool.__file__)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def test_a_reload_in_the_middle_of_a_job_leaves_the_job_alone_and_nothing_behind(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = loaded_anew()
    for module in (tool, anew):
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.1)
    comfy.misbehave.hold_at_step = 1
    old = asyncio.create_task(make(endpoints(comfy)))
    await comfy.until_held()
    wish = anew.Wish("a fox", size=anew.Wanted("64x64", "size"), seed=anew.Wanted(3, "seed"))
    new = asyncio.create_task(anew.make(wish, [anew.Endpoint(comfy.url)], anew.Limits(), Watcher()))
    await until(lambda: len(comfy.prompts) == 2)
    assert len(comfy.sockets) == 2
    comfy.release()
    assert (await old).products
    assert (await new).products
    await until(lambda: not comfy.sockets)
    await until(lambda: not [task for task in asyncio.all_tasks() if "comfyui_tool" in str(task.get_coro())])
    del sys.modules[anew.__name__]


def test_a_job_that_a_call_attends_to_is_known_to_the_tool_that_was_loaded_since() -> None:
    tool.attend("a job")
    try:
        anew = loaded_anew()
        assert anew.ATTENDED["a job"]
        tool.leave("a job")
        assert not anew.ATTENDED["a job"]
    finally:
        tool.ATTENDED.pop("a job", None)
        sys.modules.pop("tool_comfyui_anew", None)


# --- processes, threads and event loops that end ---

DRAW = """
import asyncio, sys, threading
import comfyui_tool as tool

class Nobody:
    def status(self, phase, text, fraction=None): pass
    def preview(self, data): pass

def draw(seed=0):
    wish = tool.Wish("a fox", size=tool.Wanted("64x64", "size"), steps=tool.Wanted(2, "steps"),
        seed=tool.Wanted(seed, "seed"), workflow=tool.Wanted("checkpoint", "workflow"))
    return tool.make(wish, [tool.Endpoint(sys.argv[1])], tool.Limits(), Nobody(), owner=tool.Owner("u", b"key"))
"""


async def ended(comfy: StandIn, script: str, when: Callable[[], Awaitable[None]] | None = None) -> list[str]:
    """A process that runs this on a server, with every warning an error, and ends without a word on stderr; the lines
    that it printed. It gets a line on its stdin after `when`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-c", DRAW + script, comfy.url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(tool.__file__).parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        if when:
            await when()
        out, errors = await asyncio.wait_for(process.communicate(b"go\n"), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert errors.decode() == ""
    assert process.returncode == 0
    return out.decode().splitlines()


async def test_a_process_that_closes_nothing_ends_without_a_word(comfy: StandIn) -> None:
    assert await ended(comfy, "print(len(asyncio.run(draw()).products))") == ["1"]


async def test_a_loop_that_ends_in_the_middle_of_a_job_leaves_the_job_running_and_says_no_word(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    script = """
async def watched():
    try:
        await draw()
    except asyncio.CancelledError as end:
        print(*end.__notes__)
        raise

async def main():
    running = asyncio.create_task(watched())
    await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
    (note,) = await ended(comfy, script, comfy.until_held)
    (prompt,) = comfy.prompts
    assert note == f"{tool.GOES_ON}: job {prompt['prompt_id']}"
    assert comfy.running == [prompt["prompt_id"]]
    assert comfy.interrupts == comfy.deleted == []
    comfy.release()
    await until(lambda: comfy.history)
    assert comfy.history[prompt["prompt_id"]]["status"]["status_str"] == "success"


async def test_a_request_that_is_cut_off_by_a_shutdown_leaves_its_job_running(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(endpoints(comfy)))
    await comfy.until_held()
    run.cancel("Task cancelled, timeout graceful shutdown exceeded")  # as uvicorn says it
    with pytest.raises(asyncio.CancelledError) as end:
        await run
    assert end.value.__notes__[0].startswith(tool.GOES_ON)
    assert (len(comfy.running), comfy.interrupts, comfy.deleted) == (1, [], [])
    comfy.release()


def test_an_event_loop_that_was_closed_with_everything_open_is_forgotten() -> None:
    async def use() -> None:
        async with tool.open_server(tool.Endpoint(NOBODY)):
            pass

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    assert loop in tool._POOLS
    loop.close()
    asyncio.run(use())
    assert loop not in tool._POOLS


async def test_event_loops_one_after_the_other_each_have_connections_of_their_own(comfy: StandIn) -> None:
    assert await ended(comfy, "for seed in range(3): print(len(asyncio.run(draw(seed)).products))") == ["1", "1", "1"]
    assert len({prompt["client_id"] for prompt in comfy.prompts}) == 3
    assert not comfy.sockets


async def test_event_loops_in_two_threads_do_not_meet(comfy: StandIn) -> None:
    script = """
def work(first):
    for seed in range(first, first + 3):
        sys.stdout.write(f"{len(asyncio.run(draw(seed)).products)}" + chr(10))  # in one piece, as print does not
threads = [threading.Thread(target=work, args=(10 * number,)) for number in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    assert await ended(comfy, script) == ["1"] * 6
    assert len({prompt["client_id"] for prompt in comfy.prompts}) == 6


def test_threads_with_event_loops_that_come_and_go_do_not_trip_over_each_other() -> None:
    failures: list[BaseException] = []
    interval = sys.getswitchinterval()

    async def open_and_close(number: int) -> None:
        async with tool.open_server(tool.Endpoint(NOBODY)):
            tool.attend(str(number))
            tool.leave(str(number))

    def work(first: int) -> None:
        try:
            for number in range(first, first + 150):
                asyncio.run(open_and_close(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
        for number in range(4000):
            tool.ATTENDED.pop(str(number), None)
    assert failures == []


# --- what is asked for only once, and believed for a while ---


ASK: dict[str, Callable[[tool.ComfyUIServer], Awaitable[Any]]] = {
    "a definition": lambda server: server.define("KSampler", 0.0),
    "all definitions": lambda server: server.everything(),
    "a list of models": lambda server: server.names("/models/loras", 0.0),
    "the saved workflows": lambda server: server.saved_workflows(0.0),
    "what a model file says": lambda server: server.model_metadata("loras", "detail.safetensors"),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
async def test_a_question_of_many_callers_is_asked_once(
    comfy: StandIn, ask: Callable[[tool.ComfyUIServer], Awaitable[Any]]
) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        answers = await asyncio.gather(*(ask(server) for _ in range(50)))
    assert len(comfy.requests) == 1
    assert all(answer == answers[0] for answer in answers)


async def test_a_caller_that_is_stopped_leaves_the_answer_to_the_others() -> None:
    async with counting() as (url, _, paths), tool.open_server(tool.Endpoint(url)) as server:
        first = asyncio.create_task(server.names("/models"))
        other = asyncio.create_task(server.names("/models"))
        await until(lambda: paths)
        first.cancel()
        assert await other == []
        assert len(paths) == 1


async def test_a_question_that_failed_is_asked_again_by_the_next_caller(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        comfy.misbehave.status_for = {"/models": 502}
        failures = await asyncio.gather(*(server.names("/models/vae") for _ in range(5)), return_exceptions=True)
        assert {type(failure) for failure in failures} == {tool.ServerUnreachable}
        comfy.misbehave.status_for = {}
        assert await server.names("/models/vae") == comfy.models["vae"]
        assert len(comfy.requests) == 2


async def test_what_is_known_is_believed_for_a_while_and_then_asked_for_again(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        for believe, requests in ((60.0, 1), (60.0, 1), (0.0, 2), (60.0, 2)):
            await server.define("KSampler", believe)
            assert len(comfy.requests) == requests
        for believe, requests in ((60.0, 3), (60.0, 3), (0.0, 4), (60.0, 4)):
            await server.names("/models/loras", believe)
            assert len(comfy.requests) == requests


async def test_each_server_is_known_by_itself(pair: tuple[StandIn, StandIn]) -> None:
    pair[1].models = {**pair[1].models, "vae": ["only_here.safetensors"]}
    for server in pair:
        async with tool.open_server(tool.Endpoint(server.url)) as opened:
            assert await opened.names("/models/vae") == server.models["vae"]


async def test_a_model_that_was_just_added_is_found_though_the_list_is_known(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "DOUBT_SECONDS", 0.0)
    await make(endpoints(comfy))
    comfy.models["checkpoints"].append("just_added.safetensors")
    try:
        made = await make(endpoints(comfy), model="just_added.safetensors")
    finally:
        comfy.models["checkpoints"].remove("just_added.safetensors")
    assert made.model == "just_added.safetensors"


async def test_a_name_that_is_not_found_costs_each_call_one_small_question(comfy: StandIn) -> None:
    for _ in range(2):
        comfy.requests.clear()
        with pytest.raises(tool.ModelNotInstalled):
            await make(endpoints(comfy), model="no_such_model.safetensors")
    assert [request.path for request in comfy.requests] == ["/object_info/CheckpointLoaderSimple"]

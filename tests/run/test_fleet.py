"""Several servers as one: which of them gets a job, what becomes of slow, sick and dying ones, how each is named and
given its own key, and what they list together."""

import asyncio
import json
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.runs import NOBODY, QUICKER, draw, endpoints, key_of, make, record, small_wish
from tests.support.serving import serving
from tests.support.stand_in import OUT_OF_MEMORY, StandIn
from tests.support.stand_in.files import File
from tests.support.watching import Watcher, until


@pytest.fixture
def comfy(quick_comfy: StandIn) -> StandIn:
    """One release will do: they do not differ in what is tested here."""
    return quick_comfy


def posts(*servers: StandIn) -> list[int]:
    """How many jobs each of them took in."""
    return [len(server.prompts) for server in servers]


# --- which server is taken ---


async def test_of_servers_that_are_alike_the_administrators_first_one_is_taken(pair: tuple[StandIn, StandIn]) -> None:
    await draw(*pair)
    await draw(*pair)
    assert posts(*pair) == [2, 0]


async def test_a_server_with_the_shorter_queue_is_taken(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].misbehave.hang = True
    await pair[0].post(pair[0].example_graph())
    assert (await draw(*pair)).products
    assert posts(*pair) == [0, 1]


async def test_calls_that_are_still_on_their_way_count_so_that_calls_side_by_side_are_spread(
    pair: tuple[StandIn, StandIn],
) -> None:
    await asyncio.gather(*(draw(*pair, seed=seed) for seed in range(6)))
    assert posts(*pair) == [3, 3]


async def test_a_faster_server_is_taken_by_the_pace_that_was_measured_on_both() -> None:
    async with StandIn(step_seconds=0.2) as slow, StandIn(step_seconds=0.0) as fast:
        for server in (slow, fast):
            await draw(server)
        await draw(slow, fast)
        await draw(slow, fast, seed=1)
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
    made = await draw(*pair, model="only_here.safetensors")
    assert (made.model, posts(*pair)) == ("only_here.safetensors", [0, 1])


async def test_the_server_that_has_the_node_is_taken_whatever_its_place(pair: tuple[StandIn, StandIn]) -> None:
    image = {"input": {"required": {"image": ["IMAGE"]}}, "input_order": {"required": ["image"]}, "output": ["IMAGE"]}
    custom = {"Special": {**pair[0].engine.definitions["VAEDecode"], **image, "name": "Special"}}
    graph = pair[0].example_graph()
    graph["20"] = {"class_type": "Special", "inputs": {"image": ["8", 0]}}
    graph["9"]["inputs"]["images"] = ["20", 0]
    catalogue = tool.Catalogue((tool.Entry("mine", "administrator", graph),))
    wish = tool.Request(workflow=tool.Argument("mine", "workflow"))
    async with StandIn(step_seconds=0.0, custom_nodes=custom) as other:
        await make(pair[0], other, wish=wish, catalogue=catalogue, timing=QUICKER)
        assert posts(pair[0], other) == [0, 1]


async def test_the_server_on_which_a_workflow_is_saved_runs_it(pair: tuple[StandIn, StandIn]) -> None:
    pair[1].userdata["workflows/mine.json"] = File(json.dumps(pair[1].example_graph()).encode())
    wish = tool.Request(workflow=tool.Argument("mine", "workflow"))
    await make(*pair, wish=wish, timing=QUICKER)
    assert posts(*pair) == [0, 1]


async def test_a_model_that_no_server_has_is_refused_with_the_closest_names(pair: tuple[StandIn, StandIn]) -> None:
    with pytest.raises(tool.ModelNotInstalled) as error:
        await draw(*pair, model="sdxl bass", workflow="")
    assert "sd_xl_base_1.0.safetensors" in error.value.hint
    assert posts(*pair) == [0, 0]


async def test_a_model_of_a_valve_is_looked_for_on_all_servers_before_one_does_without(
    pair: tuple[StandIn, StandIn],
) -> None:
    pair[1].models = {**pair[1].models, "checkpoints": ["house_style.safetensors"]}
    await pair[1].restart()
    valve = tool.Argument("house_style.safetensors", 'The administrator\'s valve "Model"', 2)
    wish = replace(small_wish(steps=2, workflow=""), model=valve)
    made = await make(*pair, wish=wish, previews=False, timing=QUICKER)
    assert (made.model, posts(*pair)) == ("house_style.safetensors", [0, 1])


async def test_a_model_of_a_valve_that_is_for_another_workflow_does_not_keep_a_call_from_any_server(
    pair: tuple[StandIn, StandIn],
) -> None:
    valve = tool.Argument("flux1-dev.safetensors", 'The administrator\'s valve "Model"', 2)
    wish = replace(small_wish(steps=2), model=valve)
    made = await make(*pair, wish=wish, previews=False, timing=QUICKER)
    assert (made.model, posts(*pair)) == ("sd_xl_base_1.0.safetensors", [1, 0])


# --- slow and sick servers ---


async def test_a_server_that_is_down_costs_nothing_and_is_left_alone_for_a_while(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "REST_SECONDS", 0.5)
    async with StandIn(step_seconds=0.0) as sick:
        where = endpoints(sick, comfy)
        sick.misbehave.status_for = {"/": 502}
        await draw(*where)
        before = len(sick.requests)
        await draw(*where, seed=1)
        assert before == len(sick.requests) > 0
        sick.misbehave.status_for = {}
        await until(lambda: not record(sick).resting)
        await draw(*where, seed=2)
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
        async with asyncio.timeout(20):  # what hangs is never answered
            await draw(url, comfy)
            await draw(url, comfy, seed=1)
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
    await asyncio.gather(*(draw(*pair, seed=seed) for seed in range(6)))
    assert record(pair[0]).faults == 1
    assert posts(*pair) == [0, 6]


@pytest.mark.parametrize("class_type", ["..", "."])
async def test_a_node_whose_name_leads_elsewhere_is_a_missing_one_and_no_server_rests_for_it(
    pair: tuple[StandIn, StandIn], class_type: str
) -> None:
    graph = pair[0].example_graph() | {"50": {"class_type": class_type, "inputs": {}}}
    wish = tool.Request("a fox", workflow=tool.Argument("mine", "workflow"))
    catalogue = tool.Catalogue((tool.Entry("mine", "user", graph),))
    with pytest.raises(tool.NodeNotInstalled):
        await make(*pair, wish=wish, catalogue=catalogue, timing=QUICKER)
    assert not any(record(server).resting for server in pair)


async def test_a_server_that_rests_is_asked_all_the_same_when_no_other_is_left(comfy: StandIn) -> None:
    record(comfy).rest("it was away")
    assert (await draw(comfy, NOBODY)).products


async def test_a_server_that_rests_is_the_last_resort_for_what_only_it_has(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].models = {**pair[0].models, "checkpoints": ["only_here.safetensors"]}
    await pair[0].restart()
    record(pair[0]).rest("it was away")
    await draw(*pair, model="only_here.safetensors")
    assert posts(*pair) == [1, 0]


async def test_when_none_answers_all_are_named(comfy: StandIn) -> None:
    comfy.misbehave.status_for = {"/": 502}
    with pytest.raises(tool.ServerUnreachable) as error:
        await draw(comfy, NOBODY)
    assert comfy.url in error.value.with_place
    assert NOBODY in error.value.with_place


# --- a job whose server died ---


async def waiting(run: Coroutine[Any, Any, tool.RunResult], *servers: StandIn) -> asyncio.Task[tool.RunResult]:
    """A call whose job waits behind somebody else's on the first of these servers. The others have more to do."""
    for jobs, server in enumerate(servers, 1):
        server.misbehave.hold_at_step = 1
        for _ in range(jobs):
            await server.post(server.example_graph(width=64, height=64))
        await server.until_held()
    call = asyncio.create_task(run)
    await until(lambda: servers[0].prompts)
    await asyncio.sleep(0.05)
    return call


async def test_a_job_whose_server_died_is_run_on_another_one_with_the_same_seed(pair: tuple[StandIn, StandIn]) -> None:
    watcher = Watcher()
    run = await waiting(draw(*pair, watcher=watcher), *pair)
    await pair[0].kill()
    pair[1].release()
    made = await run
    seeds = {node["inputs"].get("seed") for one in pair for node in one.prompts[0]["prompt"].values()} - {None}
    assert (seeds, posts(*pair)) == ({made.seed}, [1, 1])
    assert any("lost the job, and it was run again" in note for note in made.notes)
    assert "ComfyUI lost the job; it is run again" in watcher.texts


async def test_a_job_is_run_again_once_only(pair: tuple[StandIn, StandIn]) -> None:
    async with StandIn(step_seconds=0.0) as third:
        run = await waiting(draw(*pair, third), *pair, third)
        await pair[0].kill()
        await until(lambda: pair[1].prompts)
        await pair[1].kill()
        with pytest.raises(tool.ServerGone):
            await run
        assert posts(*pair, third) == [1, 1, 0]


async def test_a_job_that_ran_when_its_server_died_is_not_run_on_another_one(pair: tuple[StandIn, StandIn]) -> None:
    pair[0].misbehave.hold_at_step = 1
    run = asyncio.create_task(draw(*pair))
    await pair[0].until_held()
    await pair[0].kill()
    with pytest.raises(tool.ServerGone) as error:
        await run
    assert posts(*pair) == [1, 0]
    hint = error.value.as_result()["hint"]
    assert "out of memory" in hint and "do not run the job again unchanged" in hint
    assert f"job_id {pair[0].prompts[0]['prompt_id']}" in hint


class Forgetful(StandIn):
    """It takes a prompt in, loses the answer, and tells nobody that it has it."""

    def submit(self, body: Any) -> dict[str, Any]:
        self.misbehave.status_for = {"/queue": 502, "/history": 502}
        self.misbehave.lose_post_answer = True
        return super().submit(body)

    async def forget(self) -> None:
        """End when it is at work, and come back with nothing."""
        await self.until_held()
        await self.restart()
        self.misbehave.status_for = {}


async def test_a_job_that_may_have_arrived_is_posted_once_more_and_not_again() -> None:
    async with Forgetful() as first, Forgetful() as second, StandIn() as third:
        for server in (first, second):
            server.misbehave.hold_at_step = 1
            server.misbehave.refuse_websocket = 404
        run = asyncio.create_task(draw(first, second, third))
        await first.forget()
        await second.forget()
        with pytest.raises(tool.JobLost):
            await run
        assert posts(first, second, third) == [1, 1, 0]
        await tool.close_servers()


async def test_a_job_that_its_server_forgot_over_a_restart_goes_to_the_other_one(pair: tuple[StandIn, StandIn]) -> None:
    run = await waiting(draw(*pair), *pair)
    await pair[0].restart()
    pair[1].release()
    assert (await run).products
    assert posts(*pair) == [1, 1]


async def test_a_job_that_was_moved_is_withdrawn_from_a_server_that_comes_back_with_it(
    pair: tuple[StandIn, StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "WITHDRAW_PAUSES", (0.1,) * 100)
    monkeypatch.setattr(tool, "CLEAN_UP_SECONDS", 0.3)
    run = await waiting(draw(*pair, steps=5), *pair)
    await pair[0].stop_listening()
    pair[1].release()
    assert (await run).products
    assert pair[0].pending == [pair[0].prompts[0]["prompt_id"]]
    await pair[0].listen()
    await until(lambda: not pair[0].pending)


async def test_a_user_with_one_job_allowed_gets_it_moved_all_the_same(pair: tuple[StandIn, StandIn]) -> None:
    owner = tool.Owner("u", b"k")
    run = await waiting(draw(*pair, limits=tool.Limits(jobs=1), owner=owner), *pair)
    await pair[0].kill()
    pair[1].release()
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
        run = asyncio.create_task(draw(comfy, other, count=3))
        await comfy.until_held()
        await comfy.kill()
        made = await run
    assert len(made.products) == 1
    assert any(note.startswith("only 1 of 3 were made: ComfyUI stopped answering") for note in made.notes)


async def test_a_job_that_no_other_server_can_run_fails_of_its_own_servers_death(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    async with StandIn(models={}) as other:
        run = asyncio.create_task(draw(comfy, other))
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
        await draw(*pair)
    assert posts(*pair) == [1, 0]


# --- names, addresses and keys ---


@pytest.mark.parametrize(
    ("addresses", "keys", "found"),
    [
        ("a:1, b:2", "", [("http://a:1", "", ""), ("http://b:2", "", "")]),
        ("a:1, b:2", "k", [("http://a:1", "k", ""), ("http://b:2", "k", "")]),
        ("a:1\nb:2", "k1, k2", [("http://a:1", "k1", ""), ("http://b:2", "k2", "")]),
        ("a:1, b:2, c", "1,,3", [("http://a:1", "1", ""), ("http://b:2", "", ""), ("http://c", "3", "")]),
        ("a:1; b:2", "k1,", [("http://a:1", "k1", ""), ("http://b:2", "", "")]),
        ("a:1; b:2", ",k2", [("http://a:1", "", ""), ("http://b:2", "k2", "")]),
        ("a:1, b:2,", "k1, k2,", [("http://a:1", "k1", ""), ("http://b:2", "k2", "")]),
        ("a:1\nb:2", "k\n", [("http://a:1", "k", ""), ("http://b:2", "k", "")]),
        ("fast = http://a:1\nbig one = b:2", "", [("http://a:1", "", "fast"), ("http://b:2", "", "big one")]),
        ("a:1, a:1/", "", [("http://a:1", "", "")]),
    ],
)
def test_the_valve_takes_several_servers_in_order_each_with_its_name_and_key(
    addresses: str, keys: str, found: list[tuple[str, str, str]]
) -> None:
    assert [(one.url, key_of(one), one.label) for one in tool.read_endpoints(addresses, keys)] == found


def test_servers_without_a_name_are_called_by_their_place_and_never_by_their_address() -> None:
    found = tool.resolve(tool.Valves(endpoint="a:1, fast = b:2, https://cloud.comfy.org"), {"id": "u"}).endpoints
    assert [one.name for one in found] == ["ComfyUI 1", "fast", "Comfy Cloud 3"]
    assert [one.name for one in tool.resolve(tool.Valves(endpoint="a:1"), {"id": "u"}).endpoints] == ["ComfyUI"]


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
    run = asyncio.create_task(draw(*found.endpoints))
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
        run = await waiting(draw(*where), first, second)
        await first.kill()
        second.release()
        assert (await run).products
        for server, key in ((first, "key-one"), (second, "key-two")):
            assert {request.headers.get("Authorization") for request in server.requests} == {f"Bearer {key}"}
        await tool.close_servers()


async def test_a_server_that_wants_another_key_is_passed_over_and_told_of_when_it_is_the_last(comfy: StandIn) -> None:
    async with StandIn(step_seconds=0.0, api_key="key-one") as closed:
        where = tool.read_endpoints(f"{closed.url}, {comfy.url}", "wrong-key, other-key")
        assert (await draw(*where)).products
        await comfy.kill()
        with pytest.raises(tool.AccessRefused) as error:
            await draw(*where)
    assert closed.url in error.value.with_place
    assert "-key" not in str(error.value.as_result())


async def test_a_websocket_that_wants_other_credentials_sends_the_call_to_the_second_server(
    pair: tuple[StandIn, StandIn],
) -> None:
    pair[0].misbehave.refuse_websocket = 401
    assert (await draw(*pair)).products
    assert posts(*pair) == [0, 1]


@pytest.mark.parametrize("status", [401, 429])
async def test_a_post_that_a_proxy_refuses_goes_to_the_second_server(
    pair: tuple[StandIn, StandIn], status: int
) -> None:
    pair[0].misbehave.status_for = {"/prompt": status}
    assert (await draw(*pair)).products
    assert posts(*pair) == [0, 1]


async def test_a_post_that_is_answered_strangely_and_not_found_is_made_once_more_at_most(
    quick_comfy: StandIn,
) -> None:
    async with StandIn(step_seconds=0.0) as second, StandIn(step_seconds=0.0) as third:
        for server in (quick_comfy, second):
            server.misbehave.status_for = {"/prompt": 404}
        with pytest.raises(tool.UnexpectedAnswer, match="HTTP 404"):
            await draw(quick_comfy, second, third)
        posted = [
            [request.path for request in server.requests if request.method == "POST"] for server in (second, third)
        ]
        assert posted == [["/prompt"], []]
        await tool.close_servers()


async def test_a_proxy_that_is_asked_too_often_is_a_busy_server_with_the_time_to_come_back(comfy: StandIn) -> None:
    comfy.misbehave.status_for, comfy.misbehave.retry_after = {"/prompt": 429}, "17"
    with pytest.raises(tool.ServerBusy) as error:
        await draw(comfy)
    assert (error.value.code, error.value.seconds) == ("server_busy", 17)
    assert "17 seconds" in error.value.hint


# --- what several servers list ---


async def test_lists_are_those_of_all_servers_together(pair: tuple[StandIn, StandIn]) -> None:
    pair[1].models = {**pair[1].models, "checkpoints": ["only_here.safetensors", "tiny.safetensors"]}
    answers, _ = await tool.everywhere(endpoints(*pair), lambda server: tool.list_models(server, "checkpoints", ""))
    models = tool.one_list(answers)["checkpoints"]
    assert {"only_here.safetensors", "sd_xl_base_1.0.safetensors"} <= set(models)
    assert models.count("tiny.safetensors") == 1


async def test_a_workflow_that_one_server_can_run_is_listed_as_one_that_can_be_run(
    pair: tuple[StandIn, StandIn],
) -> None:
    pair[0].models = {"checkpoints": ["sd_xl_base_1.0.safetensors"]}
    await pair[0].restart()
    catalogue = tool.Catalogue()

    async def listed_on(*servers: StandIn) -> dict[str, Any]:
        lines, _ = await tool.everywhere(
            endpoints(*servers), lambda server: tool.list_workflows(server, catalogue, "flux")
        )
        return tool.one_list(lines)

    alone, both = await listed_on(pair[0]), await listed_on(*pair)
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


def test_that_nothing_was_found_is_said_where_no_server_found_anything() -> None:
    nothing = {"kind": "vae", "found": 0, "closest": ["a"], "installed": 1}
    assert tool.one_list([nothing]) == nothing
    assert tool.one_list([nothing, {**nothing, "closest": ["b"]}]) == {**nothing, "closest": ["a", "b"]}
    assert "found" not in tool.one_list([nothing, {"vae": ["b"]}])


async def test_a_server_that_does_not_answer_is_left_out_of_the_lists_and_named(comfy: StandIn) -> None:
    away = tool.Endpoint(NOBODY, label="old")
    (answer,), left_out = await tool.everywhere([away, *endpoints(comfy)], lambda server: server.names("/models/vae"))
    assert answer == comfy.models["vae"]
    assert left_out == ["old"]


UNFORESEEN = (AttributeError("x"), RecursionError(), MemoryError(), KeyError(5), UnicodeError(), AssertionError())


@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda error: type(error).__name__)
async def test_what_nobody_foresaw_in_one_servers_answer_leaves_only_that_server_out(
    pair: tuple[StandIn, StandIn], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile, good = endpoints(*pair)

    async def read_queue(server: tool.ComfyUIServer, seconds: float) -> tool.Queue:
        if server.endpoint == hostile:
            raise error
        return await ask_queue(server, seconds)

    ask_queue = tool.ComfyUIServer._ask_queue
    monkeypatch.setattr(tool.ComfyUIServer, "_ask_queue", read_queue)
    answers, left_out = await tool.everywhere([hostile, good], lambda server: server.names("/models/vae"))
    assert (len(answers), left_out) == (1, [hostile.name])
    fleet = tool.Fleet((hostile, good), owner=tool.Owner("ann", b"key"))
    assert [bool(status.error) for status in await fleet.statuses()] == [True, False]
    assert await tool.own_jobs(fleet) == tool.OwnJobs([], [hostile.name], [])
    assert await fleet.in_order("") == [good]


async def test_lists_of_servers_none_of_which_answers_are_an_error_that_names_them() -> None:
    with pytest.raises(tool.ServerUnreachable) as error:
        await tool.everywhere(endpoints(NOBODY, "http://127.0.0.1:7"), lambda server: server.names("/models/vae"))
    assert error.value.where == f"Tried: {NOBODY}, http://127.0.0.1:7."
    await tool.close_servers()

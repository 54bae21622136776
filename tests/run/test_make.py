"""From a wish to finished pictures: how a run goes on a server that behaves, how it ends on one that does not, and what
a stop leaves behind."""

import asyncio
import contextlib
import dataclasses
import json
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.pictures import opened
from tests.support.runs import NOBODY, QUICK, endpoints, make, run_graph
from tests.support.serving import serving
from tests.support.stand_in import OUT_OF_MEMORY, StandIn
from tests.support.watching import Watcher, until

# --- what a good run does ---


async def test_a_run_brings_the_picture_that_was_asked_for(comfy: StandIn) -> None:
    made = await make(comfy, seed=7, size="96x64")
    assert [opened(picture).size for picture in made.products] == [(96, 64)]
    assert (made.seed, made.workflow, made.model) == (7, "checkpoint", "sd_xl_base_1.0.safetensors")


async def test_the_phases_are_told_in_order(comfy: StandIn, watcher: Watcher) -> None:
    await make(comfy, watcher=watcher)
    assert [phase for phase in watcher.phases if phase != "waiting"] == ["connecting", "loading", "running", "saving"]
    assert watcher.fractions == sorted(watcher.fractions)


async def test_the_websocket_is_open_before_the_prompt_is_posted(comfy: StandIn) -> None:
    await make(comfy)
    paths = [request.path.removeprefix("/api") for request in comfy.requests]
    assert paths.index("/ws") < paths.index("/prompt")


# What is asked for once in a while, and remembered.
LISTS = ("/object_info", "/view_meta", "/userdata", "/templates", "/workflow_templates")


async def test_a_quick_run_costs_one_post_one_download_and_no_look_up() -> None:
    async with StandIn(step_seconds=0.0) as comfy:
        wish = tool.Request("x", size=tool.Argument("64x64", "size"), workflow=tool.Argument("checkpoint", "workflow"))
        await make(comfy, wish=wish, timing=tool.Timing(first=5.0))
        paths = [request.path for request in comfy.requests if not request.path.startswith(LISTS)]
        await tool.close_servers()
    assert sorted(paths) == ["/prompt", "/view", "/ws"]


async def test_previews_arrive_while_it_runs(comfy: StandIn, watcher: Watcher) -> None:
    await make(comfy, watcher=watcher, steps=4)
    assert watcher.pictures
    assert all(opened(data).format == "JPEG" for data in watcher.pictures)


async def test_without_previews_none_are_asked_for(comfy: StandIn, watcher: Watcher) -> None:
    await make(comfy, watcher=watcher, previews=False)
    assert not watcher.pictures
    assert comfy.prompts[0]["extra_data"]["preview_method"] == "none"


async def test_the_same_seed_and_count_give_the_same_set_again(comfy: StandIn) -> None:
    first = await make(comfy, seed=11, count=2)
    again = await make(comfy, seed=11, count=2)
    assert len(first.products) == 2
    assert [opened(p).tobytes() for p in first.products] == [opened(p).tobytes() for p in again.products]
    assert opened(first.products[0]).tobytes() != opened(first.products[1]).tobytes()


async def test_a_fully_cached_run_ends_with_its_picture_and_says_so(comfy: StandIn) -> None:
    await make(comfy, seed=5)
    again = await make(comfy, seed=5)
    assert again.products
    assert any("already" in note for note in again.notes)


async def test_what_was_made_before_and_deleted_is_saved_anew(comfy: StandIn) -> None:
    first = await make(comfy, seed=5, count=2)
    last = first.products[-1].source
    comfy.misbehave.view_missing = {last.rpartition("/")[2]}
    again = await make(comfy, seed=5, count=2)
    assert len(again.products) == 2 and last not in [product.source for product in again.products]
    assert not again.left_out
    *_, prompt = comfy.history.values()
    (cached,) = [data["nodes"] for kind, data in prompt["status"]["messages"] if kind == "execution_cached"]
    assert len(cached) == len(prompt["prompt"][2]) - 1, "only the node that saves was run"


async def test_without_a_websocket_it_is_known_too_what_was_made_before(comfy: StandIn) -> None:
    comfy.misbehave.refuse_websocket = 404
    await make(comfy, seed=5)
    comfy.files.empty("output")
    assert (await make(comfy, seed=5)).products


async def test_count_is_one_batch(comfy: StandIn) -> None:
    await make(comfy, count=3)
    (posted,) = comfy.prompts
    assert [n["inputs"]["batch_size"] for n in posted["prompt"].values() if "batch_size" in n["inputs"]] == [3]


@pytest.mark.usefixtures("no_batch_size")
async def test_without_a_batch_size_count_is_so_many_prompts_with_seeds_in_a_row(
    comfy: StandIn, watcher: Watcher
) -> None:
    made = await make(comfy, watcher=watcher, seed=20, count=3)
    seeds = [n["inputs"]["seed"] for p in comfy.prompts for n in p["prompt"].values() if "seed" in n["inputs"]]
    assert (len(made.products), seeds) == (3, [20, 21, 22])
    assert any(text.startswith("2 of 3 · ") for text in watcher.texts)


@pytest.mark.usefixtures("no_batch_size")
async def test_the_pictures_before_a_failure_are_not_lost(comfy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    collect = tool.collect

    async def first_only(*arguments: Any) -> list[tool.OutputFile]:
        comfy.misbehave.fail_node = {"KSampler": OUT_OF_MEMORY}
        return await collect(*arguments)

    monkeypatch.setattr(tool, "collect", first_only)
    made = await make(comfy, seed=20, count=3)
    assert len(made.products) == 1
    assert any(note.startswith("only 1 of 3 were made: The graphics card ran out of memory") for note in made.notes)


@pytest.mark.usefixtures("no_batch_size")
async def test_all_prompts_of_a_call_together_bring_so_many_files(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "MOST_FILES_OF_CALL", 2)
    made = await make(comfy, seed=20, count=3)
    assert (len(made.products), made.left_out, len(comfy.prompts)) == (2, 1, 3)
    assert "1 more file was left out, since one call brings 2" in made.notes
    left = comfy.prompts[2]["prompt_id"]
    assert f"check_job tries once more to bring the file that is missing: job_id {left}" in made.notes


async def test_the_place_in_the_queue_is_told(comfy: StandIn, watcher: Watcher) -> None:
    comfy.misbehave.hold_at_step = 1
    for _ in range(3):
        await comfy.post(comfy.example_graph())
    run = asyncio.create_task(make(comfy, watcher=watcher))
    await until(lambda: "Waiting, 3 ahead" in watcher.texts)
    comfy.release()
    await run
    assert watcher.phases.index("waiting") < watcher.phases.index("running")


async def test_calls_side_by_side_share_one_websocket_and_keep_apart(comfy: StandIn) -> None:
    made = await asyncio.gather(*(make(comfy, prompt=f"number {number}", seed=number) for number in range(6)))
    assert [m.seed for m in made] == list(range(6))
    assert sum(request.path.endswith("/ws") for request in comfy.requests) == 1
    assert len({picture.data.whole() for m in made for picture in m.products}) == 6


async def test_the_websocket_closes_some_time_after_the_last_job(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "IDLE_SECONDS", 0.1)
    await make(comfy)
    assert comfy.sockets
    await until(lambda: not comfy.sockets)


# --- credentials ---


@pytest.mark.parametrize("release", ["0.3.64", "0.33.0"])
async def test_the_key_travels_on_http_and_websocket_alike(release: str) -> None:
    async with StandIn(release=release, api_key="s3cret") as comfy:
        wish = tool.Request("x", size=tool.Argument("64x64", "size"))
        await make(tool.Endpoint.parse(comfy.url, "s3cret"), wish=wish)
        assert {request.headers.get("Authorization") for request in comfy.requests} == {"Bearer s3cret"}
        await tool.close_servers()


@pytest.mark.parametrize("key", ["", "wrong-key-of-mine"])
async def test_refused_credentials_are_named_and_the_key_is_not(key: str, watcher: Watcher) -> None:
    async with StandIn(api_key="s3cret") as comfy:
        with pytest.raises(tool.AccessRefused) as refused:
            await tool.make(tool.Request("x"), tool.Fleet((tool.Endpoint.parse(comfy.url, key),)), watcher)
        assert "wrong-key-of-mine" not in str(refused.value.as_result())
        await tool.close_servers()


async def test_a_websocket_that_wants_other_credentials_is_refused_credentials(comfy: StandIn) -> None:
    comfy.misbehave.refuse_websocket = 401
    with pytest.raises(tool.AccessRefused):
        await make(comfy)


async def test_a_redirect_is_not_followed_and_its_target_gets_nothing(comfy: StandIn, watcher: Watcher) -> None:
    async with StandIn() as elsewhere:
        comfy.misbehave.redirect_to = elsewhere.url
        with pytest.raises(tool.UnexpectedAnswer, match="redirects to"):
            await tool.make(tool.Request("x"), tool.Fleet((tool.Endpoint.parse(comfy.url, "s3cret"),)), watcher)
        async with tool.open_server(tool.Endpoint.parse(comfy.url, "s3cret")) as server:
            with pytest.raises(tool.UnexpectedAnswer):
                async with server.websocket("abc"):
                    pass
        assert not elsewhere.requests


# --- finding a server ---


async def test_the_first_address_that_answers_is_taken(comfy: StandIn) -> None:
    wish = tool.Request("x", size=tool.Argument("64x64", "size"))
    assert (await make(NOBODY, comfy, "http://127.0.0.1:7", wish=wish)).products


async def test_when_none_answers_the_error_names_all_that_were_tried_and_the_valve(watcher: Watcher) -> None:
    with pytest.raises(tool.ServerUnreachable) as error:
        await tool.make(tool.Request("x"), tool.Fleet(tuple(endpoints(NOBODY, "http://127.0.0.1:7"))), watcher)
    assert error.value.with_place == "No ComfyUI answers. Tried: http://127.0.0.1:9, http://127.0.0.1:7."
    assert "127.0.0.1" not in str(error.value.as_result())
    assert "ComfyUI address" in error.value.hint


async def test_something_else_at_the_address_is_no_comfyui(comfy: StandIn) -> None:
    comfy.misbehave.status_for = {"/object_info": 404}
    with pytest.raises(tool.UnexpectedAnswer):
        await make(comfy)


# --- refusals before the run ---


async def test_a_model_that_is_not_there_is_refused_with_the_closest_names(comfy: StandIn) -> None:
    with pytest.raises(tool.ModelNotInstalled) as error:
        await make(comfy, model="sdxl_bass", workflow="")
    assert "sd_xl_base_1.0.safetensors" in error.value.hint
    assert not comfy.prompts


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"ckpt_name": "gone.safetensors"}, tool.ModelNotInstalled),
        ({"sampler_name": "eulr"}, tool.ValueOutOfRange),
        ({"steps": 0}, tool.ValueOutOfRange),
        ({"cfg": 500.0}, tool.ValueOutOfRange),
        ({"steps": "many"}, tool.ValueOutOfRange),
    ],
)
async def test_what_the_server_refuses_is_named(
    comfy: StandIn, change: dict[str, Any], expected: type[tool.ComfyUIError]
) -> None:
    graph = comfy.example_graph(**change)
    with pytest.raises(expected) as error:
        await run_graph(comfy, graph)
    (name,) = change
    assert name in error.value.message
    assert str(next(iter(change.values()))) in error.value.message


async def test_a_node_that_is_not_installed_is_named(comfy: StandIn) -> None:
    graph = comfy.example_graph()
    graph["8"]["class_type"] = "FancyDecode"
    with pytest.raises(tool.NodeNotInstalled, match="FancyDecode"):
        await run_graph(comfy, graph)


async def test_a_graph_without_an_output_is_refused_with_the_servers_reason(comfy: StandIn) -> None:
    graph = comfy.example_graph()
    del graph["9"]
    with pytest.raises(tool.WorkflowRefused, match="no outputs"):
        await run_graph(comfy, graph)


async def test_an_output_that_the_server_drops_is_noted_and_the_rest_comes(comfy: StandIn, watcher: Watcher) -> None:
    graph = comfy.example_graph()
    graph["20"] = {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}, "_meta": {"title": "Second"}}
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        fleet = tool.Fleet((server.endpoint,), timing=QUICK)
        job, notes = await tool.follow(server, fleet, graph, watcher, wait=30)
        assert len((await tool.collect(server, job, graph)).products) == 1
    assert len(notes) == 1
    assert "Second" in notes[0]


# --- failures in the run ---


async def test_a_nodes_own_error_comes_with_its_title_and_reason_only(comfy: StandIn) -> None:
    comfy.misbehave.fail_node = {"VAEDecode": ("ValueError", "the latent is <b>odd</b>\nsecond line\n")}
    with pytest.raises(tool.NodeFailed) as error:
        await make(comfy)
    assert error.value.message == '"Decode" (VAEDecode) failed: the latent is <b>odd</b>'


async def test_out_of_memory_is_its_own_error(comfy: StandIn) -> None:
    comfy.misbehave.fail_node = {"KSampler": OUT_OF_MEMORY}
    with pytest.raises(tool.OutOfMemory, match="Sampler"):
        await make(comfy)


async def test_a_run_that_saves_nothing_made_no_picture(comfy: StandIn) -> None:
    comfy.misbehave.no_outputs = True
    with pytest.raises(tool.NothingMade, match=r'"Save" \(SaveImage\) did not tell of any file') as raised:
        await make(comfy)
    assert "output folder" in raised.value.hint


async def test_a_server_that_dies_in_the_middle_is_gone(comfy: StandIn, watcher: Watcher) -> None:
    comfy.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(comfy, watcher=watcher))
    await comfy.until_held()
    await comfy.kill()
    with pytest.raises(tool.ServerGone):
        await run
    assert "ComfyUI does not answer at the moment" in watcher.texts


async def test_a_server_that_restarts_gets_the_job_once_more_and_no_third_time(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    await comfy.post(comfy.example_graph())
    await comfy.until_held()
    run = asyncio.create_task(make(comfy))
    await until(lambda: comfy.prompts)
    await comfy.restart()
    await comfy.until_held()
    await comfy.restart()
    with pytest.raises(tool.JobLost):
        await run
    assert len(comfy.prompts) == 2


async def test_a_job_that_somebody_deletes_is_not_run_again(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    await comfy.post(comfy.example_graph())
    run = asyncio.create_task(make(comfy))
    await until(lambda: comfy.prompts)
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        await server.call("POST", "/queue", body={"delete": [comfy.prompts[0]["prompt_id"]]})
    with pytest.raises(tool.RunInterrupted, match="taken out of the queue"):
        await run
    assert len(comfy.prompts) == 1
    comfy.release()


async def test_a_job_that_somebody_deletes_is_not_run_again_where_no_websocket_opens_either(
    comfy: StandIn, watcher: Watcher
) -> None:
    comfy.misbehave.refuse_websocket = 404
    comfy.misbehave.hold_at_step = 1
    await comfy.post(comfy.example_graph())
    run = asyncio.create_task(make(comfy, watcher=watcher))
    await until(lambda: "Waiting, 1 ahead" in watcher.texts)
    comfy.engine.delete(comfy.prompts[0]["prompt_id"])
    with pytest.raises(tool.RunInterrupted, match="taken out of the queue"):
        await asyncio.wait_for(run, 5)
    assert len(comfy.prompts) == 1
    comfy.release()


async def test_a_job_that_was_seen_again_after_the_websocket_dropped_and_is_deleted_then_is_not_run_again(
    comfy: StandIn, watcher: Watcher
) -> None:
    comfy.misbehave.hold_at_step = 1
    await comfy.post(comfy.example_graph())
    run = asyncio.create_task(make(comfy, watcher=watcher))
    await until(lambda: "Waiting, 1 ahead" in watcher.texts)
    comfy.misbehave.refuse_websocket = 502
    comfy.room.abort()
    await until(lambda: not comfy.sockets)
    before = len(comfy.requests)
    await until(lambda: sum(request.path.endswith("/queue") for request in comfy.requests[before:]) >= 2)
    comfy.engine.delete(comfy.prompts[0]["prompt_id"])
    with pytest.raises(tool.RunInterrupted, match="taken out of the queue"):
        await asyncio.wait_for(run, 5)
    assert len(comfy.prompts) == 1
    comfy.release()


# --- restarts, and deletions, that no websocket tells of ---


def paused_look_ups(monkeypatch: pytest.MonkeyPatch) -> asyncio.Lock:
    """A lock within which no look-up is under way: who restarts a server there does so between two of them."""
    lock = asyncio.Lock()
    look_up = tool.ComfyUIServer.look_up

    async def when_free(*arguments: Any) -> tool.Event:
        async with lock:
            return await look_up(*arguments)

    monkeypatch.setattr(tool.ComfyUIServer, "look_up", when_free)
    return lock


@contextlib.asynccontextmanager
async def waiting_without_websocket(
    comfy: StandIn, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncio.Task[tool.RunResult]]:
    """A call whose job waits behind somebody else's, as a look-up has told; the next one comes after the block."""
    comfy.misbehave.refuse_websocket = 404
    comfy.misbehave.hold_at_step = 1
    await comfy.post(comfy.example_graph())
    lock = paused_look_ups(monkeypatch)
    run = asyncio.create_task(make(comfy, watcher=watcher))
    await until(lambda: "Waiting, 1 ahead" in watcher.texts)
    async with lock:
        yield run


async def test_a_server_that_restarts_between_two_look_ups_gets_the_job_once_more(
    comfy: StandIn, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting_without_websocket(comfy, watcher, monkeypatch) as run:
        comfy.release()
        await comfy.restart()
    assert (await run).products
    assert len(comfy.prompts) == 2


async def test_what_others_post_after_a_restart_is_no_sign_that_there_was_none(
    comfy: StandIn, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting_without_websocket(comfy, watcher, monkeypatch) as run:
        comfy.release()
        await comfy.restart()
        later = await comfy.post(comfy.example_graph())
        await until(lambda: later in comfy.history)
    assert (await run).products
    assert len(comfy.prompts) == 2


async def test_a_deleted_job_is_not_run_again_where_the_one_before_it_is_recorded_meanwhile(
    comfy: StandIn, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting_without_websocket(comfy, watcher, monkeypatch) as run:
        comfy.engine.delete(comfy.prompts[0]["prompt_id"])
        comfy.release()
        await until(lambda: comfy.history)
    with pytest.raises(tool.RunInterrupted, match="taken out of the queue"):
        await run
    assert len(comfy.prompts) == 1


async def test_a_deleted_job_of_which_no_look_up_told_is_not_run_again_where_an_earlier_one_is_recorded(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(comfy)
    comfy.misbehave.refuse_websocket = 404
    comfy.misbehave.hold_at_step = 1
    comfy.room.abort()
    await until(lambda: not comfy.sockets)
    await comfy.post(comfy.example_graph())
    await comfy.until_held()
    async with paused_look_ups(monkeypatch):
        run = asyncio.create_task(make(comfy))
        await until(lambda: len(comfy.prompts) == 2)
        comfy.engine.delete(comfy.prompts[1]["prompt_id"])
    with pytest.raises(tool.RunInterrupted, match="taken out of the queue"):
        await run
    assert len(comfy.prompts) == 2
    comfy.release()


async def test_a_websocket_that_opens_after_the_post_and_a_look_up_then_are_proof_enough(
    comfy: StandIn, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting_without_websocket(comfy, watcher, monkeypatch) as run:
        comfy.misbehave.refuse_websocket = None
        await until(lambda: comfy.sockets)
    before = len(comfy.requests)
    await until(lambda: sum(request.path.endswith("/queue") for request in comfy.requests[before:]) >= 3)
    monkeypatch.setattr(tool.ComfyUIServer, "has_run_since", None)  # nobody asks
    comfy.engine.delete(comfy.prompts[0]["prompt_id"])
    with pytest.raises(tool.RunInterrupted, match="taken out of the queue"):
        await run
    comfy.release()


async def test_a_run_that_somebody_interrupts_is_not_a_failure_of_a_node(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(comfy, steps=6))
    await comfy.until_held()
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        await server.call("POST", "/interrupt", body={"prompt_id": comfy.prompts[0]["prompt_id"]})
    comfy.release()
    with pytest.raises(tool.RunInterrupted):
        await run


async def test_the_longest_wait_ends_the_call_and_not_the_job(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    with pytest.raises(tool.StillRunning) as error:
        await make(comfy, limits=tool.Limits(wait_seconds=0.5))
    assert error.value.as_result()["job_id"] == comfy.prompts[0]["prompt_id"]
    assert comfy.running == [error.value.job_id]
    comfy.release()


@pytest.mark.usefixtures("no_batch_size")
async def test_a_wait_that_ends_at_the_first_prompt_of_several_tells_of_those_that_were_not_begun(
    comfy: StandIn,
) -> None:
    comfy.misbehave.hold_at_step = 2
    with pytest.raises(tool.StillRunning) as error:
        await make(comfy, count=4, limits=tool.Limits(wait_seconds=0.5))
    assert "It makes 1 of 4; the others were not begun." in str(error.value.as_result())
    assert [prompt["prompt_id"] for prompt in comfy.prompts] == [error.value.job_id]
    comfy.release()


@pytest.mark.usefixtures("no_batch_size")
async def test_nothing_is_posted_after_the_longest_wait(comfy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    collect = tool.collect

    async def slow(*arguments: Any) -> tool.Collected:
        await asyncio.sleep(2.0)
        return await collect(*arguments)

    monkeypatch.setattr(tool, "collect", slow)
    made = await make(comfy, count=3, limits=tool.Limits(wait_seconds=2.0))
    assert (len(made.products), len(comfy.prompts), made.running) == (1, 1, "")
    assert "only 1 of 3 were made: the longest wait is over; the others were not begun" in made.notes


async def test_a_server_too_old_to_take_our_id_is_named_and_its_job_withdrawn(comfy: StandIn) -> None:
    comfy.misbehave.ignore_prompt_id = True
    comfy.misbehave.hold_at_step = 1
    await comfy.post(comfy.example_graph())
    with pytest.raises(tool.ServerTooOld):
        await make(comfy)
    assert not comfy.pending
    comfy.release()


# --- frames that never come ---


@pytest.mark.parametrize(
    "muted",
    [
        {"executed"},
        {"executing"},
        {"executing", "execution_success"},
        {"execution_start", "progress_state"},
        {"status"},
    ],
    ids=lambda muted: "+".join(sorted(muted)),
)
async def test_missing_frames_do_not_lose_the_picture(comfy: StandIn, muted: set[str]) -> None:
    comfy.misbehave.mute_frames = muted
    assert (await make(comfy)).products


async def test_a_dropped_websocket_is_opened_again_and_the_picture_comes(comfy: StandIn, watcher: Watcher) -> None:
    comfy.misbehave.drop_sockets_at_step = 2
    comfy.misbehave.hold_at_step = 4
    run = asyncio.create_task(make(comfy, watcher=watcher, steps=6))
    await comfy.until_held()
    await until(lambda: sum(request.path.endswith("/ws") for request in comfy.requests) == 2)
    await until(lambda: comfy.sockets)
    before = len(watcher.pictures)
    comfy.release()
    assert (await run).products
    assert len(watcher.pictures) > before


@pytest.mark.parametrize("status", [400, 404, 502])
async def test_without_a_websocket_look_ups_bring_the_picture(comfy: StandIn, watcher: Watcher, status: int) -> None:
    comfy.misbehave.refuse_websocket = status
    assert (await make(comfy, watcher=watcher)).products
    assert "Running" in watcher.texts


async def test_a_history_entry_that_comes_late_is_waited_for(comfy: StandIn) -> None:
    comfy.misbehave.mute_frames = {"executed"}
    comfy.misbehave.history_delay = 0.4
    assert (await make(comfy)).products


async def test_a_post_whose_answer_is_lost_is_looked_up_and_not_repeated(comfy: StandIn) -> None:
    comfy.misbehave.lose_post_answer = True
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(comfy))
    await comfy.until_held()
    await asyncio.sleep(0.8)
    assert len(comfy.running) + len(comfy.pending) == 1
    comfy.release()
    assert (await run).products
    assert len(comfy.history) == 1


async def test_unreadable_frames_are_passed_over(comfy: StandIn) -> None:
    comfy.misbehave.garbage_frames = True
    assert (await make(comfy)).products


HUGE = 10**400  # more than a float holds


@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "progress", "data": ' + "[" * 100_000,
        json.dumps({"type": "progress", "data": {"prompt_id": "ID", "node": "3", "value": HUGE, "max": 5}}),
        json.dumps({"type": "progress", "data": {"prompt_id": "ID", "node": "3", "value": math.nan, "max": math.inf}}),
    ],
    ids=["deep", "huge", "no number"],
)
async def test_a_frame_with_rubbish_about_the_job_ends_neither_it_nor_the_websocket(comfy: StandIn, frame: str) -> None:
    comfy.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(comfy))
    await comfy.until_held()
    ((_, socket, _),) = comfy.room.open
    await socket.send_str(frame.replace("ID", comfy.prompts[0]["prompt_id"]))
    await asyncio.sleep(0.05)
    comfy.release()
    assert (await run).products
    assert sum(request.path.endswith("/ws") for request in comfy.requests) == 1


@pytest.mark.parametrize("number", [1e308, math.inf, -math.inf, math.nan, -1], ids=str)
def test_progress_that_is_no_number_of_steps_is_told_of_in_some_way(number: float) -> None:
    graph = {"1": {"class_type": "SaveImageWebsocket", "inputs": {}}}
    for value, most in ((number, 1.0), (1.0, number), (number, number)):
        job = tool.advance(tool.Job.posted("p", graph), tool.Progress({"1": (value, most, False)}), 1.0)
        assert 0.0 <= job.fraction <= 1.0
        assert tool.describe(job, 2.0)
        assert isinstance(tool.missed_pictures(job, graph), tuple)


async def test_a_download_that_breaks_off_each_time_is_an_error_after_several_tries(comfy: StandIn) -> None:
    comfy.misbehave.truncate_view = True
    with pytest.raises(tool.ServerGone, match="broke off"):
        await make(comfy)
    assert 2 <= sum(request.path == "/view" for request in comfy.requests) <= 6


async def test_other_peoples_previews_are_not_ours(comfy: StandIn, watcher: Watcher) -> None:
    """A prompt without a client id sends its previews to everybody, without saying whose they are."""
    comfy.misbehave.hold_at_step = 1
    await comfy.post(comfy.example_graph(steps=4))
    run = asyncio.create_task(make(comfy, watcher=watcher))
    await comfy.until_held()
    await until(lambda: comfy.pending)
    comfy.release()
    comfy.misbehave.hold_before = "KSampler"
    await until(lambda: comfy.running == [comfy.prompts[0]["prompt_id"]])
    await comfy.until_held()
    assert not watcher.pictures
    comfy.release()
    await run
    assert watcher.pictures


async def test_a_look_up_that_hangs_holds_nothing_up(comfy: StandIn, watcher: Watcher) -> None:
    async def never(*_: Any) -> tool.Event:
        await asyncio.sleep(60)
        return tool.Absent()

    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        server.look_up = never  # type: ignore[method-assign]
        began = time.monotonic()
        comfy.misbehave.hold_at_step = 1
        run = asyncio.create_task(make(comfy, watcher=watcher, timing=dataclasses.replace(QUICK, first=0.0)))
        await comfy.until_held()
        before = time.process_time()
        await asyncio.sleep(1.5)
        assert time.process_time() - before < 0.7, "waiting costs no time of the processor"
        comfy.release()
        assert (await run).products
        assert time.monotonic() - began < 10
        assert "running" in watcher.phases
        comfy.misbehave.hold_at_step = 1
        with pytest.raises(tool.StillRunning):
            await make(comfy, watcher=watcher, seed=3, limits=tool.Limits(wait_seconds=0.3))
        comfy.release()


async def test_look_ups_at_the_same_time_share_one_request_and_its_failure(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        now = time.monotonic()
        await asyncio.gather(*(server.queue(now) for _ in range(50)))
        assert sum(request.path == "/queue" for request in comfy.requests) == 1
        comfy.misbehave.status_for = {"/queue": 502}
        later = time.monotonic()
        failures = await asyncio.gather(*(server.queue(later) for _ in range(50)), return_exceptions=True)
        assert {type(failure) for failure in failures} == {tool.ServerUnreachable}
        assert sum(request.path == "/queue" for request in comfy.requests) == 2


@pytest.mark.parametrize("answer", ["[]", '"text"', "5", "null", '{"KSampler": 5}', '{"queue_pending": [1]}', "{"])
async def test_an_answer_of_the_wrong_shape_is_an_ordinary_error(answer: str) -> None:
    async def give(_: web.Request) -> web.Response:
        return web.Response(text=answer, content_type="application/json")

    async with serving("/{path:.*}", give) as url, tool.open_server(tool.Endpoint(url)) as server:
        for ask in (
            lambda: server.probe(),
            lambda: server.define("KSampler"),
            lambda: server.queue(time.monotonic()),
            lambda: server.look_up("x", time.monotonic()),
            lambda: server.submit("x", {}, {}),
            lambda: server.cancel("x"),
        ):
            with contextlib.suppress(tool.ServerError):
                await ask()
        await tool.close_servers()


@pytest.mark.parametrize("entry", [{"outputs": [1]}, {"status": "x"}, {"outputs": {"9": 5}}, {"outputs": None}])
async def test_a_history_entry_of_the_wrong_shape_is_an_ordinary_error(comfy: StandIn, entry: Any) -> None:
    comfy.history["x"] = entry
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        with contextlib.suppress(tool.UnexpectedAnswer):
            assert isinstance(await server.look_up("x", time.monotonic()), tool.Recorded)


@pytest.mark.parametrize(("number", "timestamp"), [(HUGE, 1), (1, HUGE)], ids=["queue", "history"])
async def test_integers_beyond_a_float_are_an_ordinary_error(number: int, timestamp: int) -> None:
    status = {"status_str": "success", "messages": [["execution_success", {"timestamp": timestamp}]]}
    entries = {"y": {"prompt": [1, "y", {}, {}, []], "outputs": {}, "status": status}}
    entries["z"] = {"prompt": [1, "z", {}, {}, []], "outputs": {}, "status": {"status_str": "success", "messages": []}}
    answers = {
        "/queue": {"queue_running": [], "queue_pending": [[number, "x", {}, {}, []]]},
        "/history": entries,
    }

    async def give(request: web.Request) -> web.Response:
        return web.json_response(answers["/queue" if "queue" in request.path else "/history"])

    async with serving("/{path:.*}", give) as url:
        fleet = tool.Fleet((tool.Endpoint(url),), tool.Limits(jobs=4))
        (sight,) = await fleet.survey()
        assert (sight.error is not None) == (number == HUGE)
        silent = [fleet.endpoints[0].name] if number == HUGE else []  # of a history the entry alone is left out
        assert await tool.own_jobs(fleet) == tool.OwnJobs([], silent, [])
        await tool.close_servers()


async def test_a_proxy_that_closes_the_websocket_at_once_is_not_stormed(watcher: Watcher) -> None:
    sockets = []

    async def close(request: web.Request) -> web.WebSocketResponse:
        sockets.append(1)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close()
        return socket

    async with serving("/ws", close) as url, tool.open_server(tool.Endpoint(url)) as server:
        async with server.connection.listen("x", frozenset(), watcher.preview):
            await asyncio.sleep(2.5)
        await tool.close_servers()
    assert len(sockets) <= 3


# --- pictures over the websocket ---


def websocket_graph(comfy: StandIn, **over: Any) -> dict[str, Any]:
    """A graph that sends its pictures over the websocket and saves none."""
    graph = comfy.example_graph(**over)
    graph["9"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["8", 0]}}
    return graph


async def test_pictures_saved_over_the_websocket_are_results_and_not_previews(comfy: StandIn, watcher: Watcher) -> None:
    pictures = await run_graph(comfy, websocket_graph(comfy, batch_size=2), watcher=watcher)
    assert [(p.content_type, opened(p).size, p.source) for p in pictures] == [("image/png", (128, 128), "")] * 2
    assert all(not data.startswith(b"\x89PNG") for data in watcher.pictures)


async def test_some_pictures_that_were_missed_are_noted(comfy: StandIn, watcher: Watcher) -> None:
    graph = websocket_graph(comfy, batch_size=3)
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        fleet = tool.Fleet((server.endpoint,), timing=QUICK)
        job, _ = await tool.follow(server, fleet, graph, watcher, wait=30)
    assert tool.missed_pictures(job, graph) == ()
    (note,) = tool.missed_pictures(dataclasses.replace(job, sent=job.sent[:1]), graph)
    assert note.startswith("2 of 3 pictures were missed")


async def test_pictures_that_had_no_room_are_counted_and_the_others_come(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch, watcher: Watcher
) -> None:
    monkeypatch.setattr(tool, "MOST_SENT_PICTURES", 2)
    graph = websocket_graph(comfy, batch_size=5)
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        job, _ = await tool.follow(server, tool.Fleet((server.endpoint,), timing=QUICK), graph, watcher, wait=30)
        made = await tool.collect(server, job, graph)
    assert (len(made.products), made.left_out, made.left) == (2, 3, 0)
    assert tool.missed_pictures(job, graph) == (
        "3 pictures were left out, and are gone: over the websocket come at most 2 pictures and 256 MB of one run",
    )
    with pytest.raises(tool.PictureMissed, match="had no room"):
        async with tool.open_server(tool.Endpoint(comfy.url)) as server:
            await tool.collect(server, dataclasses.replace(job, sent=()), graph)


async def test_a_picture_over_the_websocket_whose_frame_was_missed_is_named(comfy: StandIn) -> None:
    comfy.misbehave.mute_frames = {"binary"}
    with pytest.raises(tool.PictureMissed):
        await run_graph(comfy, websocket_graph(comfy))


# --- stopping ---


async def test_stopping_interrupts_the_running_job_by_its_id(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(comfy, steps=50))
    await comfy.until_held()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    comfy.release()
    await until(lambda: not comfy.running)
    assert all(body == {"prompt_id": comfy.prompts[0]["prompt_id"]} for body in comfy.interrupts)
    entry = comfy.history[comfy.prompts[0]["prompt_id"]]
    assert "execution_interrupted" in json.dumps(entry["status"])


async def test_stopping_takes_a_waiting_job_out_and_leaves_the_others(comfy: StandIn, watcher: Watcher) -> None:
    comfy.misbehave.hold_at_step = 2
    others = [await comfy.post(comfy.example_graph()) for _ in range(2)]
    run = asyncio.create_task(make(comfy, watcher=watcher))
    await until(lambda: "Waiting, 2 ahead" in watcher.texts)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (comfy.running, comfy.pending) == (others[:1], others[1:])
    assert not comfy.interrupts
    comfy.release()
    await until(lambda: len(comfy.history) == 2)
    assert all(entry["status"]["status_str"] == "success" for entry in comfy.history.values())


async def test_stopping_while_the_prompt_is_posted_leaves_no_job_behind(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(comfy, steps=50))
    await until(lambda: any(request.path.endswith("/prompt") for request in comfy.requests))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    comfy.release()
    await until(lambda: not comfy.running and not comfy.pending)


@pytest.mark.parametrize("status", [401, 403, 404, 502])
async def test_stopping_works_where_the_newer_route_is_refused(comfy: StandIn, status: int) -> None:
    comfy.misbehave.hold_at_step = 2
    comfy.misbehave.status_for = {"/api/jobs": status}
    run = asyncio.create_task(make(comfy, steps=50))
    await comfy.until_held()
    run.cancel()
    with pytest.raises(asyncio.CancelledError) as stop:
        await run
    await until(lambda: not comfy.running)
    assert not getattr(stop.value, "__notes__", [])


async def test_a_stop_that_the_server_cannot_be_told_carries_a_note_and_is_told_later(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(comfy, steps=50))
    await comfy.until_held()
    comfy.misbehave.status_for = {"/": 502}
    run.cancel()
    with pytest.raises(asyncio.CancelledError) as stop:
        await run
    assert stop.value.__notes__ == [tool.STILL_AT_WORK]
    comfy.misbehave.status_for = {}
    await until(lambda: not comfy.running)  # it is tried again beside everything else


async def test_a_job_that_is_taken_in_after_the_stop_is_withdrawn_all_the_same(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "CLEAN_UP_SECONDS", 0.4)
    arrived, answer = asyncio.Event(), asyncio.Event()
    post = tool.ComfyUIServer.submit

    async def slow(*arguments: Any) -> Any:
        arrived.set()
        await answer.wait()
        return await post(*arguments)

    monkeypatch.setattr(tool.ComfyUIServer, "submit", slow)
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(comfy, steps=50))
    await arrived.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    answer.set()
    await until(lambda: comfy.prompts)
    await until(lambda: not comfy.running and not comfy.pending)


async def test_a_server_that_answers_no_look_up_is_waited_for_and_keeps_the_job(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    comfy.misbehave.mute_frames = {"status", "executing", "progress", "progress_state", "execution_start"}
    comfy.misbehave.status_for = {"/history": 502}
    run = asyncio.create_task(make(comfy, steps=50, limits=tool.Limits(wait_seconds=2.5)))
    await comfy.until_held()
    comfy.misbehave.status_for = {"/queue": 502}
    with pytest.raises(tool.StillRunning, match="does not answer") as still:
        await run
    assert comfy.running == [still.value.job_id]
    comfy.release()


async def test_a_picture_that_was_reported_is_not_lost_with_the_history(comfy: StandIn) -> None:
    comfy.misbehave.mute_frames = {"executing"}
    comfy.misbehave.status_for = {"/history": 500}
    assert (await make(comfy)).products


async def test_stopping_twice_still_cleans_up(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(comfy, steps=50))
    await comfy.until_held()
    for _ in range(2):
        run.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await run
    comfy.release()
    await until(lambda: not comfy.running)


async def test_stopping_when_the_server_is_gone_is_short(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(comfy))
    await comfy.until_held()
    await comfy.kill()
    began = time.monotonic()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert time.monotonic() - began < 2 * tool.CLEAN_UP_SECONDS

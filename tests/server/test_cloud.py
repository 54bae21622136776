"""Comfy Cloud as a server like any other, on a stand-in made from its documentation: its keys, refusals and downloads,
and the account that all users share."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aioresponses import CallbackResult, aioresponses

import comfyui_tool as tool
from tests.support.command_line import command
from tests.support.pictures import opened, still
from tests.support.runs import QUICK, edit, endpoint, make, order, run_graph
from tests.support.serving import Response, serving
from tests.support.stand_in import CloudStandIn, Refusal, StandIn
from tests.support.stand_in import cloud as cloud_stand_in
from tests.support.stand_in.files import File
from tests.support.watching import Watcher, until

CLOUD = "https://cloud.comfy.org"
PICTURE = still((96, 64), (200, 20, 20))


@pytest.fixture
async def cloud() -> AsyncIterator[CloudStandIn]:
    async with CloudStandIn(preview_method="auto") as stand_in:
        yield stand_in
        await tool.close_servers()


def paths(cloud: CloudStandIn, method: str = "") -> list[str]:
    """What was asked for, in order; of one method, if it is given."""
    return [request.path for request in cloud.requests if request.method == method or not method]


# --- what a good run does ---


async def test_a_run_brings_the_picture_that_was_asked_for(cloud: CloudStandIn) -> None:
    made = await make(cloud, seed=7, size="96x64")
    assert [opened(product).size for product in made.products] == [(96, 64)]
    assert (made.seed, made.workflow, made.model) == (7, "checkpoint", "sd_xl_base_1.0.safetensors")


async def test_everything_but_the_websocket_is_asked_below_api_with_the_key_as_it_wants_it(cloud: CloudStandIn) -> None:
    await make(cloud)
    assert {path.split("/")[1] for path in paths(cloud)} == {"api", "ws"}
    assert {request.headers.get("X-API-Key") for request in cloud.requests} == {cloud.key}
    assert not any("Authorization" in request.headers for request in cloud.requests)
    assert [request.query["token"] for request in cloud.requests if request.path == "/ws"] == [cloud.key]


async def test_nothing_is_asked_that_is_not_there(cloud: CloudStandIn) -> None:
    routes = {"prompt", "view", "object_info", "userdata", "jobs"}
    await make(cloud)
    assert {path.split("/")[2] for path in paths(cloud) if path != "/ws"} <= routes
    assert not [path for path in paths(cloud) if path.startswith("/api/object_info/")]


async def test_the_phases_are_told_in_order_with_the_progress_of_the_websocket(
    cloud: CloudStandIn, watcher: Watcher
) -> None:
    await make(cloud, watcher=watcher, steps=8)
    assert [phase for phase in watcher.phases if phase != "waiting"] == ["connecting", "loading", "running", "saving"]
    assert watcher.fractions == sorted(watcher.fractions)
    assert any(0.2 < fraction < 0.9 for fraction in watcher.fractions)


@pytest.mark.parametrize("names_previews", [True, False])
async def test_previews_arrive_while_it_runs(names_previews: bool, watcher: Watcher) -> None:
    async with CloudStandIn(names_previews=names_previews, preview_method="auto") as cloud:
        await make(cloud, watcher=watcher, steps=4)
        await tool.close_servers()
    assert watcher.pictures
    assert all(opened(data).format == "JPEG" for data in watcher.pictures)


async def test_a_preview_that_may_be_another_jobs_of_the_account_is_not_shown(watcher: Watcher) -> None:
    async with CloudStandIn(names_previews=False, preview_method="auto") as cloud:
        cloud.misbehave.hold_at_step = 2
        run = asyncio.create_task(make(cloud, watcher=watcher, steps=4))
        await cloud.until_held()
        await until(lambda: watcher.pictures)
        cloud.room.send("execution_start", {"prompt_id": "somebody else's"})
        cloud.room.send_bytes(1, struct.pack(">I", 1) + b"somebody else's")
        cloud.room.send("execution_success", {"prompt_id": "somebody else's"})
        cloud.release()
        await run
        await tool.close_servers()
    assert b"somebody else's" not in watcher.pictures
    assert len(watcher.pictures) > 1, "its own are shown again when it is alone"


async def test_a_job_whose_end_was_missed_does_not_keep_previews_away(watcher: Watcher) -> None:
    async with CloudStandIn(names_previews=False, preview_method="auto") as cloud:
        cloud.misbehave.hold_before = "CheckpointLoaderSimple"
        run = asyncio.create_task(make(cloud, watcher=watcher, steps=4))
        await cloud.until_held()
        cloud.room.send("execution_start", {"prompt_id": "somebody else's"})
        await asyncio.sleep(0.1)
        cloud.room.abort()
        await until(lambda: paths(cloud).count("/ws") == 2 and cloud.sockets)
        cloud.release()
        await run
        await tool.close_servers()
    assert watcher.pictures


async def test_the_end_of_a_run_is_looked_up_at_once(cloud: CloudStandIn) -> None:
    slow = tool.Timing(first=20.0, look_up=20.0, polling=20.0, settle=20.0)
    began = time.monotonic()
    await make(cloud, timing=slow)
    assert time.monotonic() - began < 10


async def test_the_frames_of_other_jobs_are_not_ours(cloud: CloudStandIn) -> None:
    cloud.misbehave.hold_before = "KSampler"
    run = asyncio.create_task(make(cloud))
    await cloud.until_held()
    cloud.room.send("execution_error", {"prompt_id": "another", "node_id": "3", "exception_message": "not ours"})
    cloud.room.send("execution_success", {"prompt_id": "another"})
    cloud.release()
    assert (await run).products


async def test_the_place_among_the_accounts_jobs_is_told(cloud: CloudStandIn, watcher: Watcher) -> None:
    cloud.misbehave.hold_at_step = 1
    for _ in range(3):
        await cloud.post(cloud.example_graph())
    await cloud.until_held()
    run = asyncio.create_task(make(cloud, watcher=watcher))
    await until(lambda: "Waiting, 2 ahead" in watcher.texts)
    cloud.release()
    await run


async def test_without_a_place_in_its_answer_the_queue_tells_it(cloud: CloudStandIn) -> None:
    cloud.misbehave.hold_at_step = 1
    jobs = [await cloud.post(cloud.example_graph()) for _ in range(3)]
    await cloud.until_held()
    known = cloud.job
    cloud.job = lambda job_id: {**(known(job_id) or {}), "queue_position": None}  # type: ignore[method-assign]
    async with tool.open_server(endpoint(cloud)) as server:
        assert await server.look_up(jobs[2], time.monotonic()) == tool.Waiting(2)
    cloud.release()


async def test_an_edit_works_on_the_picture_that_was_sent(cloud: CloudStandIn) -> None:
    made = await make(cloud, wish=edit(PICTURE, steps=2))
    (posted,) = cloud.prompts
    (name,) = [node["inputs"]["image"] for node in posted["prompt"].values() if node["class_type"] == "LoadImage"]
    assert name != PICTURE.stored_name
    assert name in cloud.files.names("input")
    assert made.products


async def test_a_picture_is_sent_once_for_several_calls(cloud: CloudStandIn) -> None:
    for seed in (1, 2):
        await make(cloud, wish=edit(PICTURE, steps=2, seed=seed))
    assert cloud.uploads == [PICTURE.stored_name]


async def test_a_workflow_saved_there_runs_by_its_name(cloud: CloudStandIn) -> None:
    cloud.userdata["workflows/art/mine.json"] = File(json.dumps(cloud.example_graph(steps=2)).encode())
    made = await make(cloud, wish=order("art/mine", {"prompt": "a fox"}), catalogue=tool.Catalogue(saved=True))
    assert (made.workflow, len(made.products)) == ("art/mine", 1)


async def test_the_models_are_listed_by_kind(cloud: CloudStandIn) -> None:
    cloud.models = {**cloud.models, "embeddings": ["ugly.pt"], "gligen": []}
    async with tool.open_server(endpoint(cloud)) as server:
        assert await tool.list_models(server, "controlnet", "") == {"controlnet": ["canny.safetensors"]}
        assert await tool.list_models(server, "embeddings", "") == {"embeddings": ["ugly"]}
        assert (await tool.list_models(server, "", ""))["installed"]["loras"] == 2
        assert await tool.list_models(server, "gligen", "") == {"gligen": []}


async def test_a_model_that_is_not_there_is_refused_before_anything_is_posted(cloud: CloudStandIn) -> None:
    with pytest.raises(tool.ModelNotInstalled) as error:
        await make(cloud, model="sdxl_bass", workflow="")
    assert "sd_xl_base_1.0.safetensors" in error.value.hint
    assert not cloud.prompts


async def test_the_key_goes_with_the_prompt_so_that_nodes_of_partners_can_be_paid(cloud: CloudStandIn) -> None:
    await make(cloud)
    assert cloud.prompts[0]["extra_data"]["api_key_comfy_org"] == cloud.key


async def test_a_comfyui_of_ones_own_gets_no_key_with_the_prompt(comfy: StandIn) -> None:
    await make(tool.Endpoint.parse(comfy.url, "s3cret"))
    assert "s3cret" not in json.dumps(comfy.prompts)


@pytest.mark.real_clock
async def test_the_command_line_takes_it_like_any_other(cloud: CloudStandIn, tmp_path: Path) -> None:
    address = ("--endpoint", f"cloud+{cloud.url}", "--api-key", cloud.key)
    status, out, _ = await command("generate", "a fox", "-o", "fox.png", "--size", "64x64", *address, cwd=tmp_path)
    assert (status, out) == (0, "fox.png\n")


# --- definitions ---


async def test_definitions_come_once_for_many_calls(cloud: CloudStandIn) -> None:
    for seed in range(3):
        await make(cloud, seed=seed)
    assert paths(cloud).count("/api/object_info") == 1


async def test_definitions_are_asked_for_again_after_their_time(
    cloud: CloudStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(cloud)
    monkeypatch.setattr(tool, "CLOUD_DEFINITION_SECONDS", 0.0)
    await make(cloud)
    assert paths(cloud).count("/api/object_info") > 1


async def test_definitions_that_led_to_a_refusal_are_asked_for_again(cloud: CloudStandIn) -> None:
    await make(cloud)
    cloud.models = cloud.engine.definitions._models = {**cloud.models, "checkpoints": ["tiny.safetensors"]}
    with pytest.raises(tool.ModelNotInstalled):
        await make(cloud, seed=2)
    assert (await make(cloud, seed=2)).model == "tiny.safetensors"


# --- credentials ---


def test_the_service_is_known_by_its_host_and_is_only_spoken_to_by_https() -> None:
    for address in ("cloud.comfy.org", "http://cloud.comfy.org", f"{CLOUD}/api/", "wss://cloud.comfy.org/ws"):
        parsed = tool.Endpoint.parse(address, "k")
        assert (parsed.url, parsed.cloud, dict(parsed.auth.headers)) == (CLOUD, True, {"X-API-Key": "k"})
    assert not tool.Endpoint.parse("https://cloud.comfy.org.example").cloud


async def test_the_key_never_goes_to_where_the_files_lie(cloud: CloudStandIn) -> None:
    assert (await make(cloud)).products
    (asked,) = cloud.storage.requests
    assert not {"X-API-Key", "Authorization", "Cookie"} & set(asked.headers)
    assert cloud.key not in str(asked)


@pytest.mark.parametrize("key", ["", "wrong-key-of-mine"])
async def test_refused_credentials_are_named_and_the_key_is_not(cloud: CloudStandIn, key: str) -> None:
    with pytest.raises(tool.AccessRefused) as refused:
        await make(endpoint(cloud, key=key))
    assert "wrong-key-of-mine" not in str(refused.value.as_result())


async def test_a_websocket_that_refuses_the_key_is_refused_credentials(cloud: CloudStandIn) -> None:
    cloud.misbehave.refuse_websocket = 401
    with pytest.raises(tool.AccessRefused):
        await make(cloud)


async def test_whether_the_key_is_good_is_asked_where_only_a_good_one_is_taken(cloud: CloudStandIn) -> None:
    async with tool.open_server(endpoint(cloud)) as server:
        await server.probe()
    async with tool.open_server(endpoint(cloud, key="wrong")) as server:
        with pytest.raises(tool.AccessRefused):
            await server.probe()


async def test_the_key_stands_in_no_log_and_no_repr(cloud: CloudStandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cloud.misbehave.refuse_websocket = 500
    await make(cloud)
    cloud.misbehave.status_for = {"/prompt": 502}
    with pytest.raises(tool.ServerUnreachable) as lost:
        await make(cloud)
    async with tool.open_server(endpoint(cloud)) as server:
        told = f"{server!r} {server.endpoint!r} {vars(server)!r} {lost.value.as_result()}"
    assert cloud.key not in told + caplog.text
    assert "comfyui-a" not in told + caplog.text, "nor escaped"


# --- downloads ---


async def test_a_second_redirect_is_not_followed(cloud: CloudStandIn) -> None:
    async with StandIn() as elsewhere:
        cloud.storage.redirect_to = elsewhere.url
        with pytest.raises(tool.UnexpectedAnswer, match="redirects to"):
            await make(cloud)
        assert not elsewhere.requests


async def test_a_signed_address_that_is_not_good_any_more_is_not_told(cloud: CloudStandIn) -> None:
    cloud.signed_elsewhere = f"{cloud.storage.url}/bucket/gone?X-Signature=s3cret"
    with pytest.raises(tool.UnexpectedAnswer, match="HTTP 403") as refused:
        await make(cloud)
    assert "s3cret" not in str(refused.value.as_result())


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://", "//", ""])
async def test_a_redirect_to_what_is_no_web_address_is_not_followed(cloud: CloudStandIn, target: str) -> None:
    cloud.signed_elsewhere = target
    with pytest.raises(tool.ServerError):
        await make(cloud)
    assert not cloud.storage.requests


async def test_a_download_is_no_larger_than_any_other(cloud: CloudStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "MOST_FILE_BYTES", 1000)
    with pytest.raises(tool.LimitExceeded, match="A file of more than"):
        await make(cloud)


async def test_a_picture_that_the_service_does_not_take_is_refused_in_its_words(
    cloud: CloudStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_stand_in, "MAX_IMAGE", 10)
    with pytest.raises(tool.LimitExceeded, match="Image exceeds maximum file size of 50 MB"):
        await make(cloud, wish=edit(PICTURE, steps=2))


# --- refusals ---

LATER = Refusal(429, "QUEUE_LIMIT", "Maximum queued jobs limit reached", "30")
REFUSALS = {
    Refusal(402, "PAYMENT_REQUIRED", "Insufficient credits"): (tool.PaymentRequired, "Only a person"),
    Refusal(429, "PAYMENT_REQUIRED", "Subscription inactive"): (tool.PaymentRequired, "Only a person"),
    Refusal(429, "FREE_TIER_EXHAUSTED", "No free runs left"): (tool.PaymentRequired, "Only a person"),
    LATER: (tool.ServerBusy, "Try again in 30 seconds, not earlier."),
    Refusal(429, "FREE_TIER_UNAVAILABLE", "For now"): (tool.ServerBusy, "Try again in a minute."),
    Refusal(503, "UNAVAILABLE", "Down", "2"): (tool.ServerBusy, "Try again in 2 seconds, not earlier."),
    Refusal(403, "PARTNER_NODE_DISABLED", "No partners here"): (tool.WorkflowRefused, "workflow"),
    Refusal(403, "", ""): (tool.AccessRefused, "key"),
    Refusal(413, "", ""): (tool.WorkflowRefused, "workflow"),
    Refusal(400, "prompt_no_outputs", "Prompt has no outputs"): (tool.WorkflowRefused, "workflow"),
}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: f"{refusal.status} {refusal.type}".strip())
async def test_a_refusal_is_named_in_the_services_words_with_what_to_do(cloud: CloudStandIn, refusal: Refusal) -> None:
    expected, hint = REFUSALS[refusal]
    cloud.refusal = refusal
    with pytest.raises(tool.ComfyUIError) as refused:
        await make(cloud)
    assert type(refused.value) is expected
    assert refusal.message in refused.value.message
    assert hint in refused.value.hint
    assert len(cloud.storage.requests) == 0 and paths(cloud).count("/api/prompt") == 1


async def test_what_was_refused_for_now_is_not_withdrawn(cloud: CloudStandIn) -> None:
    cloud.refusal = LATER
    with pytest.raises(tool.ServerBusy):
        await make(cloud)
    assert not [path for path in paths(cloud) if path.endswith("/cancel")]


def test_when_to_come_back_is_read_as_seconds_or_as_a_date() -> None:
    assert tool.read_retry_after("30") == 30
    assert tool.read_retry_after(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert tool.read_retry_after(formatdate(time.time() - 60, usegmt=True)) == 0
    assert [tool.read_retry_after(text) for text in (None, "", "soon", "-5", "nan", "9" * 40)] == [None] * 6


async def test_too_many_questions_do_not_end_a_run(cloud: CloudStandIn, watcher: Watcher) -> None:
    cloud.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(cloud, watcher=watcher))
    await cloud.until_held()
    cloud.misbehave.status_for = {"/jobs": 429}
    await until(lambda: "silent" in watcher.phases)
    cloud.misbehave.status_for = {}
    cloud.release()
    assert (await run).products


@pytest.fixture
async def service() -> AsyncIterator[Callable[..., aioresponses]]:
    """Sets an answer of the real address: `service("post", "/api/prompt", status=402)`."""
    with aioresponses() as routes:

        def answer(method: str, path: str, **answer: Any) -> aioresponses:
            getattr(routes, method)(CLOUD + path, response_class=Response, **answer)
            return routes

        yield answer
        await tool.close_servers()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ({"status": 402, "payload": {"error": {"type": "PAYMENT_REQUIRED", "message": "Add credits"}}}, 402, "credits"),
        ({"status": 402, "payload": {"code": "X", "message": "Add credits"}}, 402, "credits"),
        ({"status": 402, "body": "<html>"}, 402, "HTTP 402"),
        ({"status": 429, "payload": {"error": {"type": "PAYMENT_REQUIRED", "message": "Pay"}}}, 402, "Pay"),
        ({"status": 429, "payload": {"error": {"type": "QUEUE_LIMIT", "message": "Full"}}}, 429, "Full"),
        ({"status": 429, "payload": {"error": "Full"}, "headers": {"Retry-After": "7"}}, 429, "in 7 seconds"),
        ({"status": 429, "body": ""}, 429, "HTTP 429"),
    ],
    ids=lambda value: f"{value['status']} {value.get('payload', '')}" if isinstance(value, dict) else None,
)
async def test_what_the_service_wants_is_told(
    service: Callable[..., aioresponses], answer: dict[str, Any], error: int, words: str
) -> None:
    expected = {402: tool.PaymentRequired, 429: tool.ServerBusy}[error]
    service("post", "/api/prompt", **answer)
    async with tool.open_server(tool.Endpoint.parse(CLOUD, "k3y")) as server:
        with pytest.raises(expected) as refused:
            await server.submit("x", {}, {})
    told = str(refused.value.as_result())
    assert words in told and "k3y" not in told


async def test_a_secure_service_is_not_left_for_an_address_that_is_not(service: Callable[..., aioresponses]) -> None:
    asked: list[Any] = []

    def note(url: Any, **request: Any) -> CallbackResult:
        asked.append(url)
        return CallbackResult(body=b"", response_class=Response)

    routes = service(
        "get", "/api/view?filename=a.png&subfolder=&type=output", status=302, headers={"Location": "http://store/a"}
    )
    routes.get("http://store/a", callback=note, response_class=Response)
    async with tool.open_server(tool.Endpoint.parse(CLOUD, "k3y")) as server:
        with pytest.raises(tool.UnexpectedAnswer, match="to another address, which is not followed") as error:
            await server.view(tool.Output("9", "a.png", "", "output"), tool.Room(1000))
    assert "http://store" in error.value.with_place
    assert not asked


# --- failures in the run ---


async def test_a_nodes_own_error_comes_with_its_title_and_reason(cloud: CloudStandIn) -> None:
    cloud.misbehave.fail_node = {"VAEDecode": ("ValueError", "the latent is odd")}
    with pytest.raises(tool.NodeFailed) as error:
        await make(cloud)
    assert error.value.message == '"Decode" (VAEDecode) failed: the latent is odd'


async def test_out_of_memory_is_its_own_error(cloud: CloudStandIn) -> None:
    cloud.misbehave.fail_node = {"KSampler": ("OOMError", "the machine was too small")}
    with pytest.raises(tool.OutOfMemory, match="Sampler"):
        await make(cloud)


@pytest.mark.parametrize("kind", ["InsufficientFundsError", "InactiveSubscriptionError"])
async def test_a_run_that_ends_for_want_of_money_says_so(cloud: CloudStandIn, kind: str) -> None:
    cloud.misbehave.fail_node = {"KSampler": (kind, "add credits")}
    with pytest.raises(tool.PaymentRequired, match="add credits"):
        await make(cloud)


async def test_a_failure_whose_frame_was_missed_is_looked_up(cloud: CloudStandIn) -> None:
    cloud.misbehave.mute_frames = {"execution_error"}
    cloud.misbehave.fail_node = {"VAEDecode": ("ValueError", "the latent is odd")}
    with pytest.raises(tool.NodeFailed, match="the latent is odd"):
        await make(cloud)


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_run_that_somebody_cancels_there_is_not_a_failure_of_a_node(cloud: CloudStandIn, waiting: bool) -> None:
    cloud.misbehave.hold_at_step = 2
    if waiting:
        await cloud.post(cloud.example_graph())
    run = asyncio.create_task(make(cloud))
    await cloud.until_held()
    await until(lambda: cloud.prompts)
    job_id = (cloud.pending if waiting else cloud.running)[0]
    async with tool.open_server(endpoint(cloud)) as server:
        await server.call("POST", f"/jobs/{job_id}/cancel")
    with pytest.raises(tool.RunInterrupted):
        await run
    cloud.release()


async def test_what_the_service_refuses_of_a_workflow_is_named(cloud: CloudStandIn) -> None:
    with pytest.raises(tool.ModelNotInstalled, match=r"gone\.safetensors"):
        await run_graph(cloud, cloud.example_graph(ckpt_name="gone.safetensors"))


async def test_an_output_that_the_service_drops_is_noted(cloud: CloudStandIn, watcher: Watcher) -> None:
    graph = cloud.example_graph()
    graph["20"] = {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}, "_meta": {"title": "Second"}}
    async with tool.open_server(endpoint(cloud)) as server:
        fleet = tool.Fleet((server.endpoint,), timing=QUICK)
        _, notes = await tool.follow(server, fleet, graph, watcher, wait=30)
    assert len(notes) == 1 and "Second" in notes[0]


async def test_a_post_whose_answer_is_lost_is_named_and_not_repeated(cloud: CloudStandIn) -> None:
    cloud.misbehave.lose_post_answer = True
    with pytest.raises(tool.ServerUnreachable, match="answer of Comfy Cloud to the job was lost") as lost:
        await make(cloud)
    assert "Check the account's jobs" in lost.value.hint
    assert paths(cloud, "POST").count("/api/prompt") == 1


async def test_a_post_whose_answer_is_lost_is_not_repeated_elsewhere_either(
    cloud: CloudStandIn, comfy: StandIn
) -> None:
    cloud.misbehave.lose_post_answer = True
    with pytest.raises(tool.ServerUnreachable, match="was lost"):
        await make(cloud, comfy)
    assert not comfy.prompts


async def test_a_service_that_cannot_be_connected_to_is_unreachable(cloud: CloudStandIn) -> None:
    await make(cloud)
    await cloud.kill()
    with pytest.raises(tool.ServerUnreachable):
        await make(cloud)


# --- frames that never come ---


@pytest.mark.parametrize(
    "muted",
    [{"executed"}, {"execution_success"}, {"execution_start", "executing", "progress_state"}, {"status"}],
    ids=lambda muted: "+".join(sorted(muted)),
)
async def test_missing_frames_do_not_lose_the_picture(cloud: CloudStandIn, muted: set[str]) -> None:
    cloud.misbehave.mute_frames = muted
    assert (await make(cloud)).products


async def test_frames_that_came_before_the_id_was_known_are_made_up_for(
    cloud: CloudStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = tool.ComfyCloud.submit

    async def late(*arguments: Any) -> tool.Accepted:
        accepted = await submit(*arguments)
        await until(lambda: cloud.history)
        return accepted

    monkeypatch.setattr(tool.ComfyCloud, "submit", late)
    assert (await make(cloud, steps=1)).products


async def test_a_job_that_is_recorded_late_is_waited_for(cloud: CloudStandIn) -> None:
    cloud.misbehave.mute_frames = {"executed"}
    cloud.misbehave.history_delay = 0.4
    assert (await make(cloud)).products


@pytest.mark.parametrize("status", [400, 404, 502])
async def test_without_a_websocket_look_ups_bring_the_picture(cloud: CloudStandIn, status: int) -> None:
    cloud.misbehave.refuse_websocket = status
    assert (await make(cloud)).products


async def test_a_dropped_websocket_is_opened_again_and_the_picture_comes(cloud: CloudStandIn, watcher: Watcher) -> None:
    cloud.misbehave.drop_sockets_at_step = 2
    cloud.misbehave.hold_at_step = 4
    run = asyncio.create_task(make(cloud, watcher=watcher, steps=6))
    await cloud.until_held()
    await until(lambda: paths(cloud).count("/ws") == 2 and cloud.sockets)
    before = len(watcher.pictures)
    cloud.release()
    assert (await run).products
    assert len(watcher.pictures) > before


# --- stopping ---


async def test_stopping_cancels_the_running_job_there(cloud: CloudStandIn) -> None:
    cloud.misbehave.hold_at_step = 2
    run = asyncio.create_task(make(cloud, steps=50))
    await cloud.until_held()
    (job_id,) = cloud.running
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: not cloud.running)
    assert (cloud.job(job_id) or {})["status"] == "cancelled"
    assert [path for path in paths(cloud, "POST") if path != "/api/prompt"] == [f"/api/jobs/{job_id}/cancel"]


async def test_stopping_takes_a_waiting_job_out_and_leaves_the_others(cloud: CloudStandIn, watcher: Watcher) -> None:
    cloud.misbehave.hold_at_step = 2
    others = [await cloud.post(cloud.example_graph()) for _ in range(2)]
    await cloud.until_held()
    run = asyncio.create_task(make(cloud, watcher=watcher))
    await until(lambda: "Waiting, 1 ahead" in watcher.texts)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (cloud.running, cloud.pending) == (others[:1], others[1:])
    cloud.release()


async def test_stopping_while_the_prompt_is_posted_leaves_no_job_behind(
    cloud: CloudStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, answer = asyncio.Event(), asyncio.Event()
    submit = tool.ComfyCloud.submit

    async def slow(*arguments: Any) -> tool.Accepted:
        accepted = await submit(*arguments)
        taken.set()
        await answer.wait()
        return accepted

    monkeypatch.setattr(tool.ComfyCloud, "submit", slow)
    cloud.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(cloud, steps=50))
    await taken.wait()
    run.cancel()
    await asyncio.sleep(0)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: not cloud.running and not cloud.pending)


@pytest.mark.parametrize(("status", "told"), [(404, True), (500, False), (429, False)])
async def test_cancelling_fails_only_where_the_service_could_not_be_told(
    service: Callable[..., aioresponses], status: int, told: bool
) -> None:
    service("post", "/api/jobs/x/cancel", status=status, payload={"message": "so"})
    async with tool.open_server(tool.Endpoint.parse(CLOUD, "k3y")) as server:
        with contextlib.nullcontext() if told else pytest.raises(tool.ServerError):
            await server.cancel("x")


# --- the account's jobs ---


async def test_the_queue_is_the_accounts(cloud: CloudStandIn) -> None:
    cloud.misbehave.hold_at_step = 1
    jobs = [await cloud.post(cloud.example_graph()) for _ in range(3)]
    await cloud.until_held()
    async with tool.open_server(endpoint(cloud)) as server:
        queue = await server.queue(time.monotonic())
    assert (queue.running, queue.pending) == (tuple(jobs[:1]), tuple(jobs[1:]))
    assert not any(prompt.extra_data for prompt in queue.prompts)
    cloud.release()


async def test_what_the_account_has_in_its_queue_counts_for_every_user(cloud: CloudStandIn) -> None:
    cloud.misbehave.hold_at_step = 1
    await cloud.post(cloud.example_graph())
    await cloud.until_held()
    with pytest.raises(tool.LimitExceeded, match="1 job in the queue already"):
        await make(cloud, limits=tool.Limits(jobs=1))
    assert not cloud.prompts
    cloud.release()


async def test_what_others_have_in_the_account_keeps_nobody_from_an_idle_server_of_ones_own(
    cloud: CloudStandIn,
) -> None:
    cloud.misbehave.hold_at_step = 1
    await cloud.post(cloud.example_graph())
    await cloud.until_held()
    async with StandIn(step_seconds=0.0) as own:
        limits = tool.Limits(jobs=1)
        assert (await make(cloud, own, limits=limits)).products
        own.models = {}
        await own.restart()
        with pytest.raises(tool.ModelNotInstalled):
            await make(cloud, own, limits=limits)
    assert not cloud.prompts, "the account is full"
    cloud.release()


async def test_an_account_that_may_not_even_ask_is_refused_access_and_breaks_no_fleet() -> None:
    async def forbidden(_: web.Request) -> web.Response:
        return web.json_response({"error": {"type": "FORBIDDEN", "message": "suspended"}}, status=403)

    async with serving("/{path:.*}", forbidden) as url, StandIn(step_seconds=0.0) as own:
        suspended = tool.Endpoint.parse(f"cloud+{url}", "k3y")
        async with tool.open_server(suspended) as server:
            with pytest.raises(tool.AccessRefused):
                await server.queue(time.monotonic())
        fleet = tool.Fleet((suspended, tool.Endpoint(own.url)), tool.Limits(jobs=1), timing=QUICK)
        assert (await make(*fleet.endpoints, limits=fleet.limits)).products
        assert [bool(standing.error) for standing in await fleet.statuses()] == [True, False]
        with pytest.raises(tool.ServerUnreachable, match=suspended.name):
            await tool.find_job(fleet, str(uuid.uuid4()))
        await tool.close_servers()


async def test_a_job_that_outlives_its_wait_is_named_by_its_id_there(cloud: CloudStandIn) -> None:
    cloud.misbehave.hold_at_step = 2
    with pytest.raises(tool.StillRunning) as error:
        await make(cloud, limits=tool.Limits(wait_seconds=0.5))
    assert error.value.job_id.startswith(cloud.running[0])
    cloud.release()


async def test_a_job_that_outlived_its_wait_is_brought_by_the_id_that_was_told_and_by_no_other_users(
    cloud: CloudStandIn, watcher: Watcher
) -> None:
    owner, stranger = tool.Owner("a", b"key"), tool.Owner("b", b"key")
    cloud.misbehave.hold_at_step = 2
    limits = tool.Limits(wait_seconds=0.5)
    with pytest.raises(tool.StillRunning) as error:
        await make(cloud, limits=limits, watcher=watcher, owner=owner)
    cloud.release()
    fleet = tool.Fleet((endpoint(cloud),), owner=owner, timing=QUICK)
    with pytest.raises(tool.UnknownJob):
        await tool.find_job(dataclasses.replace(fleet, owner=stranger), error.value.job_id)
    made = await tool.bring(fleet, *await tool.find_job(fleet, error.value.job_id), watcher)
    assert [opened(product).size for product in made.products] == [(64, 64)]
    assert made.workflow == "checkpoint"
    assert (await tool.own_jobs(fleet)) == tool.OwnJobs([], [], [])


async def test_a_job_is_found_with_what_was_posted_but_for_the_key(cloud: CloudStandIn) -> None:
    graph = cloud.example_graph(steps=1)
    async with tool.open_server(endpoint(cloud)) as server:
        accepted = await server.submit("x", graph, {"mark": "mine"})
        await until(lambda: cloud.history)
        found = await server.find(accepted.prompt_id)
        assert await server.find("d15c525b-0000-4000-8000-000000000000") is None
    assert found is not None and isinstance(found.state, tool.Recorded)
    assert (found.graph, found.extra_data["mark"]) == (graph, "mine")
    assert found.ended == pytest.approx(time.time(), abs=5)
    assert cloud.key not in str(found)


@pytest.mark.parametrize("answer", ["[]", "null", "{}", '{"status": "odd", "id": "x"}', '{"status": 5}', "{"])
async def test_a_job_of_the_wrong_shape_is_an_ordinary_error(service: Callable[..., aioresponses], answer: str) -> None:
    service("get", "/api/jobs/x", body=answer, repeat=True)
    async with tool.open_server(tool.Endpoint.parse(CLOUD, "k3y")) as server:
        for ask in (server.look_up("x", time.monotonic()), server.find("x")):
            with pytest.raises(tool.UnexpectedAnswer):
                await ask

"""How the servers stand: what is asked of them, and what a user, a model and an administrator get to know."""

import asyncio
import json
import time
import uuid
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.serving import serving
from tests.support.stand_in import StandIn
from tests.support.tokens import tokens

pytestmark = pytest.mark.usefixtures("closed_servers")

GIGABYTE = 2**30
CARDS = [
    {
        "name": "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync",
        "type": "cuda",
        "index": 0,
        "vram_total": 24 * GIGABYTE,
        "vram_free": 6 * GIGABYTE,
    },
    {
        "name": "cuda:1 NVIDIA L4 : native",
        "type": "cuda",
        "index": 1,
        "vram_total": 22.5 * GIGABYTE,
        "vram_free": 22 * GIGABYTE,
    },
]


async def statuses_of(*endpoints: tool.Endpoint, owner: tool.Owner | None = None) -> list[tool.ServerStatus]:
    return await tool.Fleet(endpoints, owner=owner or tool.Owner()).statuses()


async def survey(*servers: StandIn | str) -> list[tool.ServerStatus]:
    urls = [server if isinstance(server, str) else server.url for server in servers]
    return await statuses_of(*(tool.Endpoint(url, label=f"Number {i}") for i, url in enumerate(urls, 1)))


def record_of(server_status: tool.ServerStatus, **values: Any) -> tool.Record:
    for name, value in values.items():
        setattr(server_status.record, name, value)
    return server_status.record


# --- what a server tells of itself ---


async def test_version_and_memory_are_those_of_the_server(comfy: StandIn) -> None:
    comfy.devices = CARDS
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        stats = await server.stats()
    assert stats.version == comfy.facts.version
    assert stats.devices == (
        tool.Device("NVIDIA GeForce RTX 4090", 24 * GIGABYTE, 6 * GIGABYTE),
        tool.Device("NVIDIA L4", int(22.5 * GIGABYTE), 22 * GIGABYTE),
    )


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (None, ()),
        ("cpu", ()),
        ([None, "cpu"], ()),
        ([{}], (tool.Device("device", None, None),)),
        ([{"type": "mps", "vram_total": "much"}], (tool.Device("mps", None, None),)),
        ([{"name": 7, "vram_total": -1, "vram_free": float("nan")}], (tool.Device("7", None, None),)),
        ([{"name": "cpu", "vram_total": float("inf"), "vram_free": 3}], (tool.Device("cpu", None, 3),)),
    ],
)
def test_what_is_missing_or_strange_among_the_devices_is_left_out(
    devices: Any, expected: tuple[tool.Device, ...]
) -> None:
    assert tool.parse_stats({"system": {}, "devices": devices}) == tool.Stats("", expected)


@pytest.mark.parametrize("answer", [{}, {"system": None}, {"system": ["linux"]}])
async def test_what_answers_in_another_shape_is_not_comfyui(answer: Any) -> None:
    async def give(_: web.Request) -> web.Response:
        return web.json_response(answer)

    async with serving("/system_stats", give) as url:
        (server_status,) = await survey(url)
    assert (server_status.health, server_status.stats) == ("unexpected answer", None)


# --- health ---


async def test_a_server_with_an_empty_queue_is_ready_and_one_with_jobs_busy(comfy: StandIn) -> None:
    async with StandIn() as other:
        other.misbehave.hold_at_step = 1
        for _ in range(3):
            await other.post(other.example_graph())
        await other.until_held()
        statuses = await survey(comfy, other)
        other.release()
    assert [server_status.health for server_status in statuses] == ["ready", "busy"]
    _, text = tool.status_report(statuses, admin=False)
    assert text == "2 of 2 servers ready · 3 in the queue"


async def test_a_server_that_does_not_answer_is_a_line_and_no_error(comfy: StandIn) -> None:
    statuses = await survey("http://127.0.0.1:9", comfy)
    result, text = tool.status_report(statuses, admin=False)
    assert [server["health"] for server in result["servers"]] == ["unreachable", "ready"]
    assert result["servers"][0]["last_fault"] == "Number 1 does not answer (connection refused)."
    assert (result["status"], text) == ("done", "1 of 2 servers ready · 0 in the queue")


async def test_a_server_that_wants_another_key_is_said_to() -> None:
    async with StandIn(api_key="s3cret") as comfy:
        (server_status,) = await statuses_of(tool.Endpoint.parse(comfy.url, "wrong-key-of-mine"))
        result, text = tool.status_report([server_status], admin=True)
    assert (server_status.health, text) == ("access refused", "ComfyUI: access refused")
    assert "wrong-key-of-mine" not in json.dumps(result)


async def test_a_server_that_failed_is_resting_until_it_is_tried_again(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        server.record.rest("It lost a job.")
    (server_status,) = await survey(comfy)
    result, _ = tool.status_report([server_status], admin=False)
    assert result["servers"][0]["health"] == "resting"
    assert result["servers"][0]["last_fault"] == "It lost a job (0 s ago)"


async def test_of_guesses_at_the_address_the_one_that_answers_is_told_of(comfy: StandIn) -> None:
    urls = ("http://127.0.0.1:9", comfy.url, "http://127.0.0.1:7")
    guesses = [tool.Endpoint(url, guessed=True) for url in urls]
    assert [server_status.endpoint.url for server_status in await statuses_of(*guesses)] == [comfy.url]
    assert [server_status.health for server_status in await statuses_of(guesses[0], guesses[2])] == ["unreachable"] * 2


async def test_slow_servers_are_asked_side_by_side_and_each_a_short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "PROBE_SECONDS", 1.0)

    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(20)
        return web.json_response({})

    async with serving("/{path:.*}", hang) as url:
        began = time.monotonic()
        statuses = await survey(*(f"{url}/{number}" for number in range(10)))
        took = time.monotonic() - began
    assert {server_status.health for server_status in statuses} == {"unreachable"}
    assert took < 5, "one after the other they take ten seconds"


async def test_what_a_half_dead_server_tells_of_itself_is_told(comfy: StandIn) -> None:
    comfy.misbehave.status_for = {"/queue": 502}
    (server_status,) = await survey(comfy)
    result, _ = tool.status_report([server_status], admin=False)
    (server,) = result["servers"]
    assert (server["health"], server["version"], "queue" in server) == ("unreachable", comfy.facts.version, False)


# --- the queue, and whose jobs stand in it ---


async def test_the_callers_jobs_are_counted_among_those_in_the_queue(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    me, you = tool.Owner("me", b"key"), tool.Owner("you", b"key")
    for owner in (you, me, me):
        prompt_id = str(uuid.uuid4())
        extra_data = {"comfyui_tool": {"mark": owner.mark(prompt_id)}}
        await comfy.post(comfy.example_graph(), prompt_id=prompt_id, extra_data=extra_data)
    await comfy.until_held()
    (server_status,) = await statuses_of(tool.Endpoint(comfy.url), owner=me)
    comfy.release()
    result, text = tool.status_report([server_status], admin=False)
    assert result["servers"][0]["queue"] == {"running": 1, "waiting": 2, "yours": 2}
    assert text == "ComfyUI: busy · 3 in the queue"


# --- who gets to know what ---


async def test_a_server_is_told_of_in_few_words(comfy: StandIn) -> None:
    comfy.devices = CARDS
    (server_status,) = await survey(comfy)
    record_of(server_status, done=2, run_seconds=25.0)
    result, _ = tool.status_report([server_status], admin=False)
    assert result["servers"] == [
        {
            "name": "Number 1",
            "health": "ready",
            "queue": "empty",
            "memory": ["6 of 24 GB free on NVIDIA GeForce RTX 4090", "22 of 22.5 GB free on NVIDIA L4"],
            "a run takes": "12 s",
            "version": comfy.facts.version,
        }
    ]
    assert tokens(result) <= 120


async def test_only_administrators_get_addresses_and_metrics(comfy: StandIn) -> None:
    statuses = await statuses_of(*tool.numbered([tool.Endpoint(comfy.url), tool.Endpoint("http://127.0.0.1:9/secret")]))
    record_of(statuses[0], runs=4, done=2, failed=1, lost=1, run_seconds=25.0, bytes=3 * 2**19, sockets=1)
    plain, _ = tool.status_report(statuses, admin=False)
    whole, _ = tool.status_report(statuses, admin=True)
    assert "127.0.0.1" not in json.dumps(plain)
    assert "secret" not in json.dumps(plain)
    assert "main.py" not in json.dumps(whole), "how the server was started is nobody's business"
    assert [server["name"] for server in plain["servers"]] == ["ComfyUI 1", "ComfyUI 2"]
    assert [server["url"] for server in whole["servers"]] == [comfy.url, "http://127.0.0.1:9/secret"]
    assert "Its address is http://127.0.0.1:9/secret." in whole["servers"][1]["last_fault"]
    assert [server["metrics"] for server in whole["servers"]] == [
        "runs=4 done=2 failed=1 lost=1 mean_seconds=12.5 mb=1.5 websockets=1",
        "",
    ]
    assert all("metrics" not in server for server in plain["servers"])

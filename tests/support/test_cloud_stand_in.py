"""The stand-in for Comfy Cloud: where it differs from a ComfyUI of one's own, as its makers document it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.support.stand_in import CloudStandIn, Refusal
from tests.support.watching import until


@pytest.fixture
async def cloud() -> AsyncIterator[CloudStandIn]:
    async with CloudStandIn(step_seconds=0.003, preview_method="auto") as stand_in:
        yield stand_in


@pytest.fixture
async def session(cloud: CloudStandIn) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cloud.url, headers={"X-API-Key": cloud.key}) as session:
        yield session


async def post(session: aiohttp.ClientSession, graph: dict[str, Any], **body: Any) -> str:
    async with session.post("/api/prompt", json={"prompt": graph, **body}) as answer:
        return str((await answer.json())["prompt_id"])


async def job(session: aiohttp.ClientSession, job_id: str) -> dict[str, Any]:
    async with session.get(f"/api/jobs/{job_id}") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def ended(session: aiohttp.ClientSession, job_id: str) -> dict[str, Any]:
    while True:
        if (found := await job(session, job_id))["status"] not in ("pending", "in_progress"):
            return found
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/user", "mine", 200),
        ("/api/user", "another", 401),
        ("/api/user", None, 401),
        ("/api/object_info", None, 401),
        ("/api/system_stats", None, 200),
        ("/user", "mine", 404),
        ("/api/object_info/KSampler", "mine", 404),
        ("/api/models", "mine", 404),
        ("/api/history", "mine", 404),
        ("/api/jobs/d15c525b-0000-4000-8000-000000000000", "mine", 404),
    ],
)
async def test_every_route_is_below_api_and_nearly_all_want_the_key(path: str, key: str | None, status: int) -> None:
    headers = {"X-API-Key": key} if key else None
    async with (
        CloudStandIn(key="mine") as cloud,
        aiohttp.ClientSession(cloud.url) as session,
        session.get(path, headers=headers) as answer,
    ):
        assert answer.status == status


async def test_a_bearer_is_no_key(cloud: CloudStandIn) -> None:
    headers = {"Authorization": f"Bearer {cloud.key}"}
    async with aiohttp.ClientSession(cloud.url) as session, session.get("/api/user", headers=headers) as answer:
        assert answer.status == 401


@pytest.mark.parametrize("token", ["", "another"])
async def test_the_websocket_wants_the_key_as_its_token(cloud: CloudStandIn, token: str) -> None:
    async with aiohttp.ClientSession(cloud.url, headers={"X-API-Key": cloud.key}) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/ws", params={"clientId": "a", "token": token})
        assert refused.value.status == 401


async def test_a_socket_hears_all_jobs_of_the_account_and_never_that_nothing_runs(
    cloud: CloudStandIn, session: aiohttp.ClientSession
) -> None:
    frames: list[Any] = []
    async with session.ws_connect("/ws", params={"clientId": "a", "token": cloud.key}) as socket:

        async def listen() -> None:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    frames.append(message.json())

        listening = asyncio.create_task(listen())
        ids = [await post(session, cloud.example_graph(), client_id="b"), await post(session, cloud.example_graph())]
        await until(lambda: [frame["type"] for frame in frames].count("execution_success") == 2)
        listening.cancel()
    assert {frame["data"].get("prompt_id") for frame in frames} == {None, *ids}
    assert all(frame["data"]["node"] for frame in frames if frame["type"] == "executing")
    assert "notification" in {frame["type"] for frame in frames}


async def test_a_job_gets_an_id_of_its_own(cloud: CloudStandIn, session: aiohttp.ClientSession) -> None:
    mine = "d15c525b-0000-4000-8000-000000000000"
    assert await post(session, cloud.example_graph(), prompt_id=mine) != mine


async def test_a_job_goes_from_pending_to_completed(cloud: CloudStandIn, session: aiohttp.ClientSession) -> None:
    cloud.misbehave.hold_at_step = 1
    first, second, third = [await post(session, cloud.example_graph()) for _ in range(3)]
    await cloud.until_held()
    assert (await job(session, first))["status"] == "in_progress"
    assert [(await job(session, one))["queue_position"] for one in (second, third)] == [0, 1]
    cloud.release()
    done = await ended(session, third)
    assert done["status"] == "completed"
    assert done["outputs"]["9"]["images"][0]["type"] == "output"


async def test_a_failed_job_tells_why(cloud: CloudStandIn, session: aiohttp.ClientSession) -> None:
    cloud.misbehave.fail_node = {"KSampler": ("OOMError", "too large")}
    failed = await ended(session, await post(session, cloud.example_graph()))
    assert (failed["status"], failed["execution_error"]["exception_type"]) == ("failed", "OOMError")


async def test_pending_and_running_jobs_can_be_cancelled_and_are_remembered(
    cloud: CloudStandIn, session: aiohttp.ClientSession
) -> None:
    cloud.misbehave.hold_at_step = 1
    ids = [await post(session, cloud.example_graph()) for _ in range(2)]
    await cloud.until_held()
    for one in reversed(ids):
        async with session.post(f"/api/jobs/{one}/cancel") as answer:
            assert answer.status == 200
    assert [(await ended(session, one))["status"] for one in ids] == ["cancelled", "cancelled"]


async def test_the_queue_shows_no_more_of_a_job_than_its_graph(
    cloud: CloudStandIn, session: aiohttp.ClientSession
) -> None:
    cloud.misbehave.hold_at_step = 1
    job_id = await post(session, cloud.example_graph(), extra_data={"mark": "mine"})
    await cloud.until_held()
    async with session.get("/api/queue") as answer:
        (entry,) = (await answer.json())["queue_running"]
    assert (entry[1], entry[3], list(entry[4])) == (job_id, ["9"], ["create_time"])


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
async def test_a_file_lies_at_a_signed_address_elsewhere_that_takes_no_key(
    cloud: CloudStandIn, session: aiohttp.ClientSession, header: str
) -> None:
    done = await ended(session, await post(session, cloud.example_graph()))
    async with session.get("/api/view", params=done["outputs"]["9"]["images"][0], allow_redirects=False) as answer:
        assert answer.status == 302
        signed = URL(answer.headers["Location"], encoded=True)
    assert signed.origin() != URL(cloud.url)
    async with aiohttp.ClientSession() as anyone:
        async with anyone.get(signed) as answer:
            assert (await answer.read()).startswith(b"\x89PNG")
        async with anyone.get(signed, headers={header: cloud.key}) as answer:
            assert answer.status == 400
        async with anyone.get(URL(str(signed).replace("%2B", "+"), encoded=True)) as answer:
            assert answer.status == 403


async def test_an_upload_is_named_for_its_content(cloud: CloudStandIn, session: aiohttp.ClientSession) -> None:
    async def upload(name: str, content: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field("image", content, filename=name)
        form.add_field("type", "input")
        async with session.post("/api/upload/image", data=form) as answer:
            return str((await answer.json())["name"])

    first, again, other = await upload("a.png", b"1"), await upload("b.png", b"1"), await upload("a.png", b"2")
    assert first == again != other
    assert first.endswith(".png") and first != "a.png"


async def test_models_are_listed_by_folder(cloud: CloudStandIn, session: aiohttp.ClientSession) -> None:
    async with session.get("/api/experiment/models") as answer:
        assert {"name": "loras", "folders": ["loras"]} in await answer.json()
    async with session.get("/api/experiment/models/controlnet") as answer:
        assert await answer.json() == [{"name": "canny.safetensors", "pathIndex": 0}]


async def test_a_job_can_be_refused_with_a_type_and_a_time_to_come_back(
    cloud: CloudStandIn, session: aiohttp.ClientSession
) -> None:
    cloud.refusal = Refusal(429, "QUEUE_LIMIT", "Maximum queued jobs limit reached", retry_after="30")
    async with session.post("/api/prompt", json={"prompt": cloud.example_graph()}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
        assert (await answer.json())["error"]["type"] == "QUEUE_LIMIT"
    assert not cloud.prompts

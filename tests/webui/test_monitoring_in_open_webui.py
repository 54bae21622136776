"""What arrives at a collector of a real Open WebUI that exports to OpenTelemetry, beside Open WebUI's own.

On demand, since it needs packages of its own, which uv installs:
`COMFYUI_TEST_TELEMETRY=1 pytest -n0 tests/webui/test_monitoring_in_open_webui.py`.
"""

import asyncio
import os
from dataclasses import dataclass

import pytest

from tests.support.chats import ask, installed
from tests.support.collector import Collector
from tests.support.model_server import ToolCall
from tests.support.open_webui import User
from tests.support.stand_in import StandIn
from tests.support.telemetry import exporting_open_webui
from tests.support.watching import until

pytestmark = [
    pytest.mark.open_webui,
    pytest.mark.skipif("COMFYUI_TEST_TELEMETRY" not in os.environ, reason="COMFYUI_TEST_TELEMETRY=1 runs it"),
]

FAST = {"comfyui.server": "fast"}
DONE = {**FAST, "comfyui.outcome": "done"}
KEY = "not-for-collectors"
CALL = ToolCall("generate_image", {"prompt": "a very secret lighthouse", "size": "64x64", "steps": 2})


@dataclass(frozen=True)
class Exported:
    """A collector at which one picture's metrics and span have arrived, and whose picture it was."""

    collector: Collector
    comfy_url: str
    user: User


@pytest.fixture(scope="module")
def exported() -> Exported:
    return asyncio.run(export_a_picture())


async def export_a_picture() -> Exported:
    async with Collector() as collector, StandIn(step_seconds=0.01) as comfy:
        exporting = exporting_open_webui(collector)
        webui = await asyncio.to_thread(exporting.__enter__)
        try:
            user = await webui.user("gwendolen")
            async with installed(webui, comfy) as model:
                await webui.set_valves("comfyui", endpoint=f"fast = {comfy.url}", api_key=f"?token={KEY}")
                turn = await ask(webui, model, CALL, user=user)
                assert len(turn.files) == 1, turn.status_texts
                await until(lambda: collector.points("comfyui.jobs") and collector.parents("comfyui.job"))
        finally:
            await asyncio.to_thread(exporting.__exit__, None, None, None)
        return Exported(collector, comfy.url, user)


def test_a_job_is_counted_beside_open_webuis_own_requests(exported: Exported) -> None:
    points = exported.collector.points
    assert points("comfyui.jobs") == [(DONE, 1)]
    assert points("comfyui.job.waiting") == points("comfyui.job.running") == [(FAST, 1)]
    assert points("comfyui.server.usable") == [(FAST, 1)]
    assert points("comfyui.fetched")[0][1] > 1000
    assert points("http.server.requests")


def test_a_job_is_one_span_below_that_of_the_chats_request(exported: Exported) -> None:
    ((about, seconds),) = exported.collector.spans("comfyui.job")
    assert about == DONE
    assert 0 < seconds < 60
    assert exported.collector.parents("comfyui.job") == ["POST /api/chat/completions"]


def test_nothing_tells_what_was_asked_for_where_it_was_made_and_by_which_key(exported: Exported) -> None:
    sent = b"".join(exported.collector.bodies)
    assert b"comfyui.job" in sent
    for secret in ("secret", "lighthouse", KEY, exported.comfy_url, "object_info", "safetensors"):
        assert secret.encode() not in sent, secret


def test_no_span_or_metric_of_the_tool_names_the_user(exported: Exported) -> None:
    told = exported.collector.texts("comfyui.")
    assert told
    for secret in (exported.user.id, exported.user.name, exported.user.email):
        assert secret not in told

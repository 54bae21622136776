"""What is told to OpenTelemetry of jobs and servers, as it arrives at a collector; and that nothing is where Open WebUI
does not export."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import comfyui_tool as tool
from tests.support.collector import Collector
from tests.support.runs import QUICK, small_wish
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher, until

pytestmark = [pytest.mark.usefixtures("closed_servers"), pytest.mark.real_clock]

FAST = {"comfyui.server": "fast"}
DONE = {**FAST, "comfyui.outcome": "done"}


class Exporting:
    """OpenTelemetry as Open WebUI sets it up, with a collector of the test's own."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{collector.url}/v1/metrics"), 3_600_000)
        self.metrics = MeterProvider([reader])
        self.traces = TracerProvider()
        self.traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))

    def monitor(self, *, is_own: bool = False) -> tool.Monitor:
        return tool.Telemetry(self.metrics.get_meter("t"), self.traces.get_tracer("t"), is_own)

    async def flush(self) -> None:
        """Send what has gathered."""
        await asyncio.to_thread(self.metrics.force_flush)
        await asyncio.to_thread(self.traces.force_flush)

    def close(self) -> None:
        self.metrics.shutdown()
        self.traces.shutdown()


@pytest.fixture
async def exporting() -> AsyncIterator[Exporting]:
    async with Collector() as collector:
        exporting = Exporting(collector)
        yield exporting
        await asyncio.to_thread(exporting.close)


@pytest.fixture
def comfy(quick_comfy: StandIn) -> StandIn:
    return quick_comfy


async def draw(comfy: StandIn, monitor: tool.Monitor, prompt: str = "a lighthouse", **limits: Any) -> tool.RunResult:
    endpoint = tool.Endpoint.parse(comfy.url, label="fast")
    fleet = tool.Fleet((endpoint,), tool.Limits(**limits), timing=QUICK, monitor=monitor)
    return await tool.make(small_wish(prompt), fleet, Watcher())


async def test_a_job_that_is_done_is_counted_timed_and_a_span(exporting: Exporting, comfy: StandIn) -> None:
    result = await draw(comfy, exporting.monitor())
    await exporting.flush()
    collector = exporting.collector
    assert collector.points("comfyui.jobs") == [(DONE, 1)]
    assert collector.points("comfyui.job.waiting") == collector.points("comfyui.job.running") == [(FAST, 1)]
    assert collector.points("comfyui.server.usable") == [(FAST, 1)]
    assert collector.points("comfyui.fetched")[0][1] >= len(result.products[0].data)
    ((about, seconds),) = collector.spans("comfyui.job")
    assert about == DONE
    assert 0 < seconds < 60


async def test_a_job_that_fails_is_counted_by_its_code(exporting: Exporting, comfy: StandIn) -> None:
    comfy.misbehave.fail_node = {"VAEDecode": ("RuntimeError", "no good")}
    with pytest.raises(tool.RunFailed):
        await draw(comfy, exporting.monitor())
    await exporting.flush()
    how = {**FAST, "comfyui.outcome": "failed", "error.type": "node_failed"}
    assert exporting.collector.points("comfyui.jobs") == [(how, 1)]
    assert [about for about, _ in exporting.collector.spans("comfyui.job")] == [how]


async def test_a_stopped_job_is_counted_as_stopped(exporting: Exporting, comfy: StandIn) -> None:
    comfy.misbehave.hold_before = "KSampler"
    drawing = asyncio.create_task(draw(comfy, exporting.monitor()))
    await until(lambda: comfy.running)
    drawing.cancel()
    await asyncio.gather(drawing, return_exceptions=True)
    await exporting.flush()
    assert exporting.collector.points("comfyui.jobs") == [({**FAST, "comfyui.outcome": "stopped"}, 1)]


async def test_a_server_that_is_away_is_told_to_be_unusable(exporting: Exporting, comfy: StandIn) -> None:
    await comfy.kill()
    with pytest.raises(tool.ServerUnreachable):
        await draw(comfy, exporting.monitor(), jobs=3)
    await exporting.flush()
    assert exporting.collector.points("comfyui.server.usable") == [(FAST, 0)]


async def test_the_length_of_a_queue_is_told_when_it_was_looked_at(exporting: Exporting, comfy: StandIn) -> None:
    comfy.misbehave.hold_before = "KSampler"
    for _ in range(3):
        await comfy.post(comfy.example_graph(steps=1))
    endpoint = tool.Endpoint.parse(comfy.url, label="fast")
    await tool.Fleet((endpoint,), timing=QUICK, monitor=exporting.monitor()).survey()
    await exporting.flush()
    assert exporting.collector.points("comfyui.queue.length") == [(FAST, 3)]


async def test_neither_what_was_asked_nor_where_the_server_is_leaves_the_process(
    exporting: Exporting, comfy: StandIn
) -> None:
    await draw(comfy, exporting.monitor(), "a very secret lighthouse")
    await exporting.flush()
    sent = b"".join(exporting.collector.bodies)
    assert b"comfyui.job" in sent
    for secret in ("secret", "lighthouse", "checkpoint", comfy.url.removeprefix("http://")):
        assert secret.encode() not in sent


async def test_a_server_of_a_users_own_has_no_name(exporting: Exporting, comfy: StandIn) -> None:
    await draw(comfy, exporting.monitor(is_own=True))
    await exporting.flush()
    assert exporting.collector.points("comfyui.jobs") == [({"comfyui.server": "own", "comfyui.outcome": "done"}, 1)]


# --- where Open WebUI does not export ---


@pytest.fixture
def open_webui(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Open WebUI's environment; it exports."""
    environment = SimpleNamespace(ENABLE_OTEL=True)
    monkeypatch.setitem(sys.modules, "open_webui.env", environment)
    tool._telemetry.cache_clear()
    yield environment
    tool._telemetry.cache_clear()


def test_where_open_webui_exports_opentelemetry_is_told(open_webui: SimpleNamespace) -> None:
    monitor = tool.find_monitor(is_own=False)
    assert isinstance(monitor, tool.Telemetry)
    assert tool.find_monitor(is_own=False) is monitor


def test_where_it_does_not_nobody_is_told(open_webui: SimpleNamespace) -> None:
    open_webui.ENABLE_OTEL = False
    assert tool.find_monitor(is_own=False) is tool.NOBODY


def test_without_opentelemetry_nobody_is_told(open_webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert tool.find_monitor(is_own=False) is tool.NOBODY


async def test_a_job_does_not_fail_where_telling_does(comfy: StandIn) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: self if name.startswith("create") else 1 / 0

    result = await draw(comfy, tool.Telemetry(Broken(), Broken(), is_own=False))
    assert len(result.products) == 1

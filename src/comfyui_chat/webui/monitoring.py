"""How jobs and servers fare, told to OpenTelemetry where Open WebUI exports by it.

Open WebUI sets up OpenTelemetry where its variable `ENABLE_OTEL` says so, and sends what is told to
it to a collector. `find_monitor` gives a `Telemetry` there; anywhere else nobody is told, and
nothing is imported. What is told (docs/monitoring.md lists it) names a server as its valve does,
never by its address, and says nothing of who asked for what:

    comfyui.jobs{comfyui.server="fast", comfyui.outcome="failed", error.type="node_failed"} 3

A job is also a span, from its post to its end. No instrument calls back into this module, which
OpenTelemetry would keep alive after an update of the tool: values are told when they are seen.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

from ..logs import log
from ..run.monitor import NOBODY, JobReport, Monitor
from ..server.endpoint import Endpoint
from ..server.record import Record

SCOPE = "comfyui_tool"
OWN_SERVER = "own"  # what a server is called that a user has brought along
NANOSECONDS = 1_000_000_000


class Telemetry(Monitor):
    """OpenTelemetry's instruments, and what is told to them."""

    def __init__(self, meter: Any, tracer: Any, is_own: bool) -> None:
        """`is_own` where the servers are a user's own, whose names are nobody's business."""
        self._is_own = is_own
        self._tracer = tracer
        self._jobs = meter.create_counter("comfyui.jobs", description="Jobs by how they ended")
        self._waiting = meter.create_histogram(
            "comfyui.job.waiting", "s", "From a job's post to its first node"
        )
        self._running = meter.create_histogram(
            "comfyui.job.running", "s", "From a job's first node to its end"
        )
        self._bytes = meter.create_counter("comfyui.fetched", "By", "Files fetched from ComfyUI")
        self._queue = meter.create_gauge(
            "comfyui.queue.length", description="Prompts in a server's queue, as last seen"
        )
        self._usable = meter.create_gauge(
            "comfyui.server.usable",
            description="1 while a server gets jobs, 0 while it is left alone",
        )

    def job(self, endpoint: Endpoint, report: JobReport) -> None:
        """Count the job, tell its times, and make its span."""
        self._safely(self._tell_job, self._name(endpoint), report)

    def server(self, endpoint: Endpoint, record: Record) -> None:
        """Tell how the server stands."""
        self._safely(self._tell_server, self._name(endpoint), record)

    def _name(self, endpoint: Endpoint) -> str:
        return OWN_SERVER if self._is_own else endpoint.name

    def _safely(self, tell: Callable[..., None], *about: Any) -> None:
        """Tell something; a job does not fail because nobody can be told of it."""
        try:
            tell(*about)
        except Exception as error:
            log.warning("OpenTelemetry was not told: %s", type(error).__name__)

    def _tell_job(self, server: str, report: JobReport) -> None:
        where = {"comfyui.server": server}
        how = {**where, "comfyui.outcome": report.outcome}
        if report.code:
            how["error.type"] = report.code
        self._jobs.add(1, how)
        if report.waiting is not None and report.running is not None:
            self._waiting.record(report.waiting, where)
            self._running.record(report.running, where)
        span = self._tracer.start_span(
            "comfyui.job", start_time=int(report.began * NANOSECONDS), attributes=how
        )
        span.end(int(report.ended * NANOSECONDS))

    def _tell_server(self, server: str, record: Record) -> None:
        where = {"comfyui.server": server}
        self._usable.set(0 if record.resting else 1, where)
        if record.queue_length is not None:
            self._queue.set(record.queue_length, where)
        fetched = record.bytes - record.bytes_told
        if fetched > 0:
            record.bytes_told = record.bytes
            self._bytes.add(fetched, where)


def find_monitor(*, is_own: bool) -> Monitor:
    """Whoever is told of the servers of a call; `is_own` where a user has brought them along."""
    if getattr(sys.modules.get("open_webui.env"), "ENABLE_OTEL", False):
        return _telemetry(is_own)
    return NOBODY


@functools.cache
def _telemetry(is_own: bool) -> Monitor:
    try:
        from opentelemetry import metrics, trace

        return Telemetry(metrics.get_meter(SCOPE), trace.get_tracer(SCOPE), is_own)
    except Exception as error:  # it is not installed, or another release of it
        log.warning("OpenTelemetry cannot be used: %s", type(error).__name__)
        return NOBODY

"""A collector on the loopback address: what a real exporter of OpenTelemetry sends over OTLP, read back."""

from __future__ import annotations

import gzip
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Attributes = dict[str, Any]


class Collector:
    """Takes metrics and spans over HTTP, and keeps them."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []  # as they came, unpacked
        self._metrics: list[Any] = []
        self._spans: list[Any] = []
        self._runner = web.AppRunner(self._app())
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def points(self, name: str) -> list[tuple[Attributes, float]]:
        """The newest points of a metric, each with its attributes: the value, of a histogram the number of values."""
        newest: list[tuple[Attributes, float]] = []
        for metric in self._metrics:
            if metric.name == name:
                kind = metric.WhichOneof("data")
                newest = [(_attributes(point), _value(point, kind)) for point in getattr(metric, kind).data_points]
        return newest

    def spans(self, name: str) -> list[tuple[Attributes, float]]:
        """The spans of this name: their attributes, and how many seconds they took."""
        return [
            (_attributes(span), (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9)
            for span in self._spans
            if span.name == name
        ]

    def parents(self, name: str) -> list[str]:
        """The names of the spans above the spans of this name, as far as they have arrived."""
        names = {span.span_id: span.name for span in self._spans}
        above = [span.parent_span_id for span in self._spans if span.name == name]
        return [names[parent] for parent in above if parent in names]

    def texts(self, prefix: str) -> str:
        """All that came of metrics and spans whose names begin so, as text."""
        return "\n".join(str(told) for told in (*self._metrics, *self._spans) if told.name.startswith(prefix))

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/metrics", self._take_metrics)
        app.router.add_post("/v1/traces", self._take_spans)
        return app

    async def _read(self, request: web.Request) -> bytes:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.bodies.append(body)
        return body

    async def _take_metrics(self, request: web.Request) -> web.Response:
        sent = ExportMetricsServiceRequest.FromString(await self._read(request))
        for resource in sent.resource_metrics:
            for scope in resource.scope_metrics:
                self._metrics += scope.metrics
        return web.Response()

    async def _take_spans(self, request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await self._read(request))
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                self._spans += scope.spans
        return web.Response()


def _attributes(point: Any) -> Attributes:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in point.attributes}


def _value(point: Any, kind: str) -> float:
    if kind == "histogram":
        return float(point.count)
    return float(point.as_int or point.as_double)

"""A real Open WebUI that exports to OpenTelemetry, with the packages that its containers have for that.

`pip install open-webui` does not bring them, so uv puts them into a folder of their own, `.releases/telemetry`, on the
first run; they go before those beside the tests, and Open WebUI alone sees them.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.collector import Collector
from tests.support.open_webui import OpenWebUI, running_open_webui
from tests.support.releases import FOLDER, run, uv

PACKAGES = FOLDER / "telemetry"
INSTRUMENTED = ("aiohttp-client", "fastapi", "httpx", "logging", "redis", "requests", "sqlalchemy", "system-metrics")
WANTED = (
    "opentelemetry-exporter-otlp==1.45.1",
    *(f"opentelemetry-instrumentation-{name}==0.66b1" for name in INSTRUMENTED),
)


def packages() -> Path:
    """The folder with all that Open WebUI imports to export, filled where there is none."""
    if not PACKAGES.exists():
        unfinished = PACKAGES.with_name("telemetry-unfinished")
        run(uv(), "pip", "install", "--no-config", "--quiet", "--target", str(unfinished), *WANTED)
        unfinished.rename(PACKAGES)
    return PACKAGES


@contextlib.contextmanager
def exporting_open_webui(collector: Collector) -> Iterator[OpenWebUI]:
    """An Open WebUI whose metrics and spans arrive at the collector within a second."""
    settings = {
        "ENABLE_OTEL": "true",
        "ENABLE_OTEL_METRICS": "true",
        "ENABLE_OTEL_TRACES": "true",
        "OTEL_OTLP_SPAN_EXPORTER": "http",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_METRICS_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/v1/metrics",
        "OTEL_METRICS_EXPORT_INTERVAL_MILLIS": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "300",
        "PYTHONPATH": str(packages()),
    }
    with running_open_webui(**settings) as running:
        yield running

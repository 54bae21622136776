"""How a server is connected to: over TLS, with which certificates, and by the environment's proxy."""

import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.serving import serving
from tests.support.stand_in import StandIn

STATS = {"system": {"comfyui_version": "0.33.0"}, "devices": []}


async def stats(_: web.Request) -> web.Response:
    return web.json_response(STATS)


@pytest.fixture
async def encrypted(certificate: Path) -> AsyncIterator[str]:
    """The address of a server whose certificate no system knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_get("/system_stats", stats)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await tool.close_servers()
    await runner.cleanup()


async def version(valves: tool.Valves) -> str:
    settings = tool.resolve(valves, None)
    async with tool.open_server(settings.endpoints[0]) as server:
        return (await server.stats()).version


@pytest.fixture
def open_webui(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Open WebUI's settings of its environment."""
    env = SimpleNamespace(AIOHTTP_CLIENT_SESSION_SSL=True)
    monkeypatch.setitem(sys.modules, "open_webui.env", env)
    return env


async def test_a_certificate_that_nobody_knows_is_not_trusted(encrypted: str) -> None:
    with pytest.raises(tool.ServerUnreachable, match="certificate is not trusted"):
        await version(tool.Valves(endpoint=encrypted))


async def test_the_certificates_of_a_file_are_trusted(encrypted: str, certificate: Path) -> None:
    assert await version(tool.Valves(endpoint=encrypted, ca_file=str(certificate))) == "0.33.0"


async def test_certificates_are_not_checked_where_an_administrator_says_so(encrypted: str) -> None:
    assert await version(tool.Valves(endpoint=encrypted, unchecked_certificates=True)) == "0.33.0"


async def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "nowhere.pem", tmp_path):
        with pytest.raises(tool.BadArgument, match="Certificate authority file"):
            await version(tool.Valves(endpoint="https://127.0.0.1:9", ca_file=str(path)))


async def test_what_open_webui_says_of_certificates_holds(encrypted: str, certificate: Path, open_webui: Any) -> None:
    with pytest.raises(tool.ServerUnreachable):
        await version(tool.Valves(endpoint=encrypted))
    for said in (False, ssl.create_default_context(cafile=certificate)):
        open_webui.AIOHTTP_CLIENT_SESSION_SSL = said
        assert await version(tool.Valves(endpoint=encrypted)) == "0.33.0"


def test_a_users_own_address_is_always_checked() -> None:
    valves = tool.Valves(unchecked_certificates=True, use_proxy=True, allow_user_endpoints=True)
    (own,) = tool.resolve(valves, {"id": "u", "valves": {"endpoint": "https://mine"}}).endpoints
    assert (own.transport.tls, own.transport.by_proxy) == (True, False)


# --- proxies ---


@contextlib.asynccontextmanager
async def a_proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[tuple[str, str | None]]]:
    """A proxy that the environment names: what it was asked for, and with what credential for itself."""
    asked: list[tuple[str, str | None]] = []

    async def forward(request: web.Request) -> web.Response:
        asked.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return web.json_response(STATS)

    async with serving("/{path:.*}", forward) as url:
        monkeypatch.setenv("http_proxy", url.replace("http://", "http://me:secret@"))
        monkeypatch.setenv("no_proxy", "inside.example")
        yield asked
        await tool.close_servers()


async def test_the_environments_proxy_is_used_where_an_administrator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_proxy(monkeypatch) as asked:
        assert await version(tool.Valves(endpoint="http://gpu.example:8188", use_proxy=True)) == "0.33.0"
    assert asked == [("http://gpu.example:8188/system_stats", "Basic bWU6c2VjcmV0")]


async def test_the_environments_proxy_is_not_used_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_proxy(monkeypatch) as asked:
        with pytest.raises(tool.ServerUnreachable):
            await version(tool.Valves(endpoint="http://127.0.0.1:9"))
        with pytest.raises(tool.ServerUnreachable):
            await version(tool.Valves(endpoint="http://inside.example:8188", use_proxy=True))
    assert asked == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x", "http://localhost:9/x"])
async def test_a_proxy_is_not_asked_for_a_download_inside(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    transport = tool.Transport(by_proxy=True)
    endpoint = tool.Endpoint("http://gpu.example:8188", transport=transport)
    async with a_proxy(monkeypatch) as asked, tool.open_server(endpoint) as server:
        with pytest.raises(tool.UnexpectedAnswer):
            await server.call("GET", tool.URL(address))
    assert asked == []


async def test_no_instrumentation_of_the_process_sees_what_is_asked_of_a_server(
    quick_comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses hold keys and names, and OpenTelemetry would send them on as spans."""
    seen: list[str] = []

    async def look(_session: Any, _context: Any, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(str(params.url))

    begin = aiohttp.ClientSession.__init__

    def begin_instrumented(session: aiohttp.ClientSession, **options: Any) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(look)
        begin(session, **options | {"trace_configs": [*(options.get("trace_configs") or []), trace]})

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", begin_instrumented)
    assert await version(tool.Valves(endpoint=quick_comfy.url, api_key="?token=secret"))
    assert quick_comfy.requests
    assert seen == []

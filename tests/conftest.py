"""What the tests share: the stand-in in both releases, somebody who watches, and one Open WebUI for the whole run."""

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.model_server import ModelServer
from tests.open_webui import OpenWebUI, running_open_webui
from tests.stand_in import StandIn

# What the person running the tests has set must not decide how they end.
for name in ("COMFYUI_BASE_URL", "COMFYUI_API_KEY", "OPEN_WEBUI_TOKEN"):
    os.environ.pop(name, None)

SOURCE = Path(tool.__file__).read_text(encoding="utf-8")
SLOW = (
    "test_open_webui_harness",
    "test_tool_in_open_webui",
    "test_workflows_in_open_webui",
    "test_pictures_in_open_webui",
    "test_check_job_in_open_webui",
    "test_sandbox",
    "test_browser",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first; those that need a real Open WebUI last, the browser's at the very end."""
    items.sort(key=lambda item: SLOW.index(item.path.stem) + 1 if item.path.stem in SLOW else 0)


class Watcher:
    """An audience that remembers everything."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.fractions: list[float] = []
        self.pictures: list[bytes] = []

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        self.seen.append((phase, text))
        if fraction is not None:
            self.fractions.append(fraction)

    def preview(self, data: bytes) -> None:
        self.pictures.append(data)

    @property
    def phases(self) -> list[str]:
        """The phases in order, each once."""
        return list(dict.fromkeys(phase for phase, _ in self.seen))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.seen]


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture(params=["0.3.64", "0.33.0"])
async def comfy(request: pytest.FixtureRequest) -> AsyncIterator[StandIn]:
    """A stand-in server with previews, in each recorded release."""
    async with StandIn(release=request.param, preview_method="auto") as server:
        yield server
        await tool.close_servers()


@pytest.fixture
def no_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint workflow as if its graph had no batch size."""
    entry = next(entry for entry in tool.bundled_entries() if entry.name == "checkpoint")
    parameters = {name: at for name, at in entry.workflow.parameters.items() if name != "batch_size"}
    single = dataclasses.replace(entry)
    vars(single)["workflow"] = dataclasses.replace(entry.workflow, parameters=parameters)
    monkeypatch.setattr(tool, "bundled_entries", lambda: (single,))


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Response(aiohttp.ClientResponse):
    """aioresponses builds responses without the writer that this aiohttp asks for."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"stream_writer": SimpleNamespace(output_size=0), **named})


@contextlib.asynccontextmanager
async def serving(path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server that answers every method of a path with one handler; its address."""
    app = web.Application()
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def installed(webui: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    """The tool, freshly created for all users with the address of `comfy` in its valve, and a model to call it."""
    async with ModelServer() as model:
        await webui.use_model(model)
        await webui.delete_tool("comfyui", missing_ok=True)
        await webui.create_tool("comfyui", "ComfyUI", SOURCE, public=True)
        await webui.set_valves("comfyui", endpoint=comfy.url)
        yield model


@pytest.fixture(scope="session")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWebUI]:
    """One real Open WebUI for all tests that need one."""
    with running_open_webui(tmp_path_factory.mktemp("open-webui"), ENABLE_CHANNELS="true") as running:
        yield running

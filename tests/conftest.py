"""Fixtures for tests of every folder: the clock that a test runs on, stand-ins for ComfyUI, what is closed after a
test, and one Open WebUI for the whole run."""

import asyncio
import dataclasses
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

import comfyui_tool as tool
from tests.attacks.house import House, house
from tests.support.open_webui import OpenWebUI, running_open_webui
from tests.support.own_clock import OwnClockLoop, loop_time
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher

# How long an example takes, or is made, depends on what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# What the person running the tests has set must not decide how they end.
for name in ("COMFYUI_BASE_URL", "COMFYUI_API_KEY", "OPEN_WEBUI_TOKEN"):
    os.environ.pop(name, None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a real Open WebUI comes first, since it takes longest, and the browser's tests come last in it.

    The tests that share one Open WebUI are a group for pytest-xdist: one worker runs all of them, so that it is started
    once in the whole run.
    """

    def order(item: pytest.Item) -> tuple[bool, bool]:
        return item.get_closest_marker("open_webui") is None, item.get_closest_marker("browser") is not None

    for item in items:
        if "webui" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("open_webui"))
    items.sort(key=order)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on a clock of their own, unless what they wait for is outside of their process or event loop."""
    marks = ("real_clock", "open_webui")
    waits_outside = any(item.get_closest_marker(mark) for mark in marks) or "COMFYUI_TEST_URL" in os.environ
    return {"clock": asyncio.new_event_loop if waits_outside else OwnClockLoop}


@pytest.fixture(autouse=True)
def time_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the tool, which measures its waits by `time.monotonic`, see the clock that the test runs on."""
    monkeypatch.setattr(time, "monotonic", loop_time)


@pytest.fixture
async def home() -> AsyncIterator[House]:
    """What Open WebUI offers to a tool."""
    with house() as place:
        yield place
        await tool.close_servers()


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
async def quick_comfy() -> AsyncIterator[StandIn]:
    """A stand-in server of the newer release that takes no time over a step."""
    async with StandIn(step_seconds=0.0) as server:
        yield server
        await tool.close_servers()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[StandIn, StandIn]]:
    """Two such servers, which are alike."""
    async with StandIn(step_seconds=0.0) as first, StandIn(step_seconds=0.0) as second:
        yield first, second
        await tool.close_servers()


@pytest.fixture
async def closed_servers() -> AsyncIterator[None]:
    """Closes, at the end of a test that starts servers of its own, what the tool keeps open for them."""
    yield
    await tool.close_servers()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """No collection of garbage while a test parses Python: what one finds may print a traceback, which parses Python in
    between, and CPython 3.11 ends that in a SystemError."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def no_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint workflow as if its graph had no batch size."""
    entry = next(entry for entry in tool.bundled_entries() if entry.name == "checkpoint")
    parameters = {name: at for name, at in entry.workflow.parameters.items() if name != "batch_size"}
    single = dataclasses.replace(entry)
    vars(single)["workflow"] = dataclasses.replace(entry.workflow, parameters=parameters)
    monkeypatch.setattr(tool, "bundled_entries", lambda: (single,))


@pytest.fixture(scope="session")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWebUI]:
    """One real Open WebUI for all tests that need one."""
    with running_open_webui(tmp_path_factory.mktemp("open-webui"), ENABLE_CHANNELS="true") as running:
        yield running

"""Fixtures for the table of attacks."""

import contextlib
from collections.abc import AsyncIterator

import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/attacks/" in item.nodeid:
            item.add_marker(pytest.mark.timeout(40, func_only=True))  # a row that hangs falls


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[HostileServer]:
    """A server that sends anything. It stays until what the tool keeps open is closed."""
    async with contextlib.AsyncExitStack() as stack:
        if request.node.get_closest_marker("real_clock"):
            hostile = stack.enter_context(HostileServer())
        else:
            hostile = await stack.enter_async_context(HostileServer().on_this_loop())
        yield hostile
        await tool.close_servers()

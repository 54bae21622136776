"""Fixtures for the table of attacks, and the mark of rows that fall today: they are listed in `fallen.txt`, each
behind the item of issue 13 that it belongs to. Whoever mends one takes its line away; a row that holds and is listed
fails."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer
from tests.attacks.house import House, house

LINES = (Path(__file__).parent / "fallen.txt").read_text("utf-8").splitlines()
FALLEN: dict[str, str] = {row: item for item, _, row in (line.partition(" ") for line in LINES)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/attacks/" not in item.nodeid:
            continue
        item.add_marker(pytest.mark.timeout(40, func_only=True))  # a row that hangs falls
        row = item.nodeid.rpartition("tests/attacks/")[2]
        if row in FALLEN:
            item.add_marker(pytest.mark.xfail(strict=True, reason=f"issue 13, item {FALLEN[row]}"))


@pytest.fixture
async def home() -> AsyncIterator[House]:
    """What Open WebUI offers to a tool."""
    with house() as place:
        yield place
        await tool.close_servers()


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    """A server that sends anything. It stays until what the tool keeps open is closed."""
    with HostileServer() as hostile:
        yield hostile
        await tool.close_servers()

"""Fixtures for tests of the tool in Open WebUI."""

from collections.abc import AsyncIterator

import pytest

from tests.support.chats import installed
from tests.support.model_server import ModelServer
from tests.support.open_webui import OpenWebUI
from tests.support.stand_in import StandIn
from tests.support.watching import Page


@pytest.fixture
async def model(webui: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    """A scripted model in an Open WebUI where the tool is installed, for the ComfyUI of the test."""
    async with installed(webui, comfy) as server:
        yield server


@pytest.fixture
def page() -> Page:
    """A page that takes events."""
    return Page()

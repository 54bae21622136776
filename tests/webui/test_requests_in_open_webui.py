"""A dozen calls of the table of requests, made by a model in a real Open WebUI: nothing is lost or changed between the
model and the tool."""

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from tests.support.chats import ask
from tests.support.model_calls import DRAW, REQUESTS, WEAK
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.stand_in import StandIn
from tests.webui.test_requests import facts

pytestmark = pytest.mark.open_webui

CALLS = [
    call
    for asked in REQUESTS
    for call in asked.calls
    if (asked.chat, call.method, call.who) == ("empty", DRAW, WEAK)
    and "error" not in call.come
    and "portrait" not in call.arguments.values()
    and "Portrait" not in call.arguments.values()
][:12]


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.0) as server:
        yield server


async def test_a_dozen_calls_of_a_weak_model_come_to_what_they_mean(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    turn = await ask(webui, model, *[ToolCall(call.method, call.arguments) for call in CALLS])
    assert len(CALLS) == len(turn.tool_results) == len(comfy.prompts) == 12
    for call, result, posted in zip(CALLS, turn.tool_results, comfy.prompts, strict=True):
        come = {name: fact for name, fact in call.come.items() if name not in ("note", "seed")}
        told = facts(SimpleNamespace(prompts=[posted]), result, {}, come)
        assert told == come, call.arguments
        assert call.come.get("note", "") in str(result)

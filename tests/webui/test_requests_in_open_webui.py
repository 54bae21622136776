"""A dozen calls of the table of requests, made by a model in a real Open WebUI: nothing is lost or changed between the
model and the tool."""

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace

import pytest

from tests.support.chats import ask
from tests.support.further_model_calls import FURTHER_REQUESTS
from tests.support.model_calls import DRAW, REQUESTS, WEAK, Asked, Call
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.stand_in import StandIn
from tests.webui.test_requests import facts

pytestmark = pytest.mark.open_webui


def drawn_for(requests: Sequence[Asked]) -> list[Call]:
    """A dozen of these calls: of a weak model, which make a picture and need nothing before."""
    calls = [
        call
        for asked in requests
        for call in asked.calls
        if (asked.chat, call.method, call.who) == ("empty", DRAW, WEAK)
        and "error" not in call.come
        and "portrait" not in call.arguments.values()
        and "Portrait" not in call.arguments.values()
    ]
    return calls[:12]


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.0) as server:
        yield server


@pytest.mark.parametrize("requests", [REQUESTS, FURTHER_REQUESTS[::2]], ids=["first", "further"])
async def test_a_dozen_calls_of_a_weak_model_come_to_what_they_mean(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, requests: Sequence[Asked]
) -> None:
    calls = drawn_for(requests)
    turn = await ask(webui, model, *[ToolCall(call.method, call.arguments) for call in calls])
    assert len(calls) == len(turn.tool_results) == len(comfy.prompts)
    assert len(calls) >= 10
    for call, result, posted in zip(calls, turn.tool_results, comfy.prompts, strict=True):
        come = {name: fact for name, fact in call.come.items() if name not in ("note", "seed")}
        told = facts(SimpleNamespace(prompts=[posted]), result, {}, come)
        assert told == come, call.arguments
        assert call.come.get("note", "") in str(result)

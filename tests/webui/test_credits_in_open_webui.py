"""Runs that cost credits, in a real Open WebUI: the question in the chat, and the record of a day."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.run.test_credits import KEY, keys_sent, paid_graph
from tests.support.chats import ask, failed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import ApiError, OpenWebUI
from tests.support.stand_in import StandIn
from tests.support.stand_in.custom import PARTNER_NODES

pytestmark = pytest.mark.open_webui

RUN = ToolCall("run_workflow", {"workflow": "paid"})


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.0, custom_nodes=PARTNER_NODES) as server:
        yield server


async def set_valves(webui: OpenWebUI, comfy: StandIn, **valves: Any) -> None:
    workflows = json.dumps({"paid": paid_graph()})
    await webui.set_valves("comfyui", endpoint=comfy.url, account_key=KEY, workflows=workflows, **valves)


async def test_a_user_without_rights_spends_nothing_and_is_told_what_would_do(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await set_valves(webui, comfy)
    turn = await ask(webui, model, RUN, user=await webui.user("bob"), answers={"confirmation": True})
    result = failed(turn)
    assert (result["code"], comfy.prompts) == ("credits_refused", [])
    assert "$0.04" in result["error"]
    assert re.search(r"What costs nothing: .*text_to_image \([^)]*checkpoint[^)]*\)", result["hint"])
    assert "paid" not in result["hint"]


async def test_a_yes_in_the_chat_spends_and_a_no_does_not(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    await set_valves(webui, comfy, paid_runs="ask")
    bob = await webui.user("bob")
    assert failed(await ask(webui, model, RUN, user=bob, answers={"confirmation": False}))["code"] == "credits_refused"
    assert comfy.prompts == []
    turn = await ask(webui, model, RUN, user=bob, answers={"confirmation": True})
    (result,) = turn.tool_results
    assert (result["status"], result["cost"], keys_sent(comfy)) == ("done", "$0.04", [KEY])
    (question,) = [event.data for event in turn.events if event.type == "confirmation"]
    assert question["message"].startswith("Price: $0.04. It is paid from the administrator's account.")
    assert KEY not in json.dumps(turn.message) + webui.log_tail(10_000)


async def test_the_amount_of_a_day_is_kept_in_the_database_out_of_the_users_reach(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await set_valves(webui, comfy, paid_runs="always", paid_day_dollars="$0.06")
    carol = await webui.user("carol")
    (result,) = (await ask(webui, model, RUN, user=carol)).tool_results
    assert result["status"] == "done"
    assert "today" in failed(await ask(webui, model, RUN, user=carol))["error"]
    assert len(comfy.prompts) == 1
    (row,) = webui._query("SELECT id, user_id, data FROM file WHERE filename = 'comfyui-credits.json'")
    assert (row[1], json.loads(row[2])["dollars"]) == ("", 0.04)
    assert await webui.files(carol) == [file for file in await webui.files(carol) if file["id"] != row[0]]
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/data/content/update")):
        with pytest.raises(ApiError):
            await webui.request(method, f"/api/v1/files/{row[0]}{path}", user=carol, json={"content": "{}"})

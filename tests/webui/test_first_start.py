"""A first start where no ComfyUI is set and none is found: the chat says what to do, to users and to administrators."""

import json
import re
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.chats import ask
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI, Turn, User
from tests.support.stand_in import StandIn

TRIED = (tool.Endpoint("http://127.0.0.1:8188", unset=True), tool.Endpoint("http://host.docker.internal:8188"))
DRAW = ToolCall("generate_image", {"prompt": "a fox"})


def test_an_administrator_is_told_what_was_tried_and_which_valve_to_set() -> None:
    lines = tool.first_steps(True, TRIED)
    assert len(lines) == 3
    assert all(endpoint.url in lines[0] for endpoint in TRIED)
    assert '"ComfyUI address"' in lines[2]
    assert tool.Valves.model_fields["endpoint"].title == "ComfyUI address"


def test_a_user_is_told_to_ask_and_no_address() -> None:
    lines = tool.first_steps(False, TRIED)
    assert len(lines) == 3
    assert "administrator" in lines[1]
    assert "8188" not in " ".join(lines)


def test_the_lines_can_be_said_in_the_users_language() -> None:
    said = [tool.in_language(line, "de") for line in tool.first_steps(True, TRIED)]
    assert said[0].startswith("Kein ComfyUI antwortet. Versucht: http://127.0.0.1:8188, ")
    assert said[2].endswith("Arbeitsbereich > Werkzeuge > das Zahnrad neben ComfyUI.")


def test_the_page_holds_the_lines_as_texts() -> None:
    page = tool.first_steps_page(["<b>a</b>", "b & c"], "de")
    assert '<html lang="de"' in page
    assert "<p>&lt;b&gt;a&lt;/b&gt;</p><p>b &amp; c</p>" in page


def test_a_server_that_is_set_and_does_not_answer_is_no_first_start() -> None:
    guesses = tool.Fleet(tuple(tool.administrators_endpoints(tool.Valves())))
    named = tool.Fleet(tuple(tool.administrators_endpoints(tool.Valves(endpoint="http://a:1, http://b:1"))))
    silent = [tool.ServerUnreachable("x"), tool.ServerUnreachable("y")]
    assert guesses.none_answers(silent).nothing_set  # type: ignore[attr-defined]
    assert not named.none_answers(silent).nothing_set  # type: ignore[attr-defined]


# --- in a real Open WebUI ---


def shown_lines(turn: Turn) -> list[str]:
    """The lines of the page below the message."""
    (page,) = turn.message["embeds"]
    return re.findall("<p>(.*?)</p>", str(page))


async def first_turn(webui: OpenWebUI, model: ModelServer, call: ToolCall, user: User) -> tuple[Turn, dict[str, Any]]:
    """A call without any valve where nothing listens, and what the model was told."""
    await webui.set_valves("comfyui")
    turn = await ask(webui, model, call, user=user)
    return turn, turn.tool_results[0]


@pytest.mark.open_webui
@pytest.mark.real_clock
@pytest.mark.parametrize("comfy", ["0.33.0"], indirect=True)
async def test_both_roles_read_in_the_chat_what_to_do(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    admin = await webui.admin()
    turn, told = await first_turn(webui, model, DRAW, admin)
    assert told["code"] == "server_unreachable"
    assert len(shown_lines(turn)) == 3
    assert "http://127.0.0.1:8188" in shown_lines(turn)[0]
    assert "ComfyUI address" in told["hint"]
    bob = await webui.user("bob")
    turn, told = await first_turn(webui, model, DRAW, bob)
    assert "ask yours" in shown_lines(turn)[1]
    assert "ask yours" in told["hint"]
    assert ":8188" not in json.dumps([told, turn.message])
    _, told = await first_turn(webui, model, ToolCall("comfyui_status", {}), bob)
    assert "ask yours" in told["what to do"]
    assert "8188" not in json.dumps(told)


@pytest.mark.open_webui
@pytest.mark.real_clock
@pytest.mark.parametrize("comfy", ["0.33.0"], indirect=True)
async def test_several_calls_of_one_message_show_the_lines_once(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    await webui.set_valves("comfyui")
    turn = await ask(webui, model, DRAW, DRAW)
    assert len(shown_lines(turn)) == 3

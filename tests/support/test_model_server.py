"""The scripted model speaks OpenAI's interface and follows its script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.support.model_server import MODEL_ID, ModelServer, ToolCall, picture_arguments, summarise

PROPERTIES = {name: {"type": "string"} for name in ("prompt", "size", "count", "seed", "steps")}
TOOLS = [
    {"type": "function", "function": {"name": "generate_image", "parameters": {"properties": PROPERTIES}}},
    {"type": "function", "function": {"name": "check_job", "parameters": {"properties": {"job": {}}}}},
]


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def completion(model: ModelServer, *messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    """One request; a streamed answer is put together as a client does."""
    body = {"model": MODEL_ID, "messages": list(messages), "tools": TOOLS} | options
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.post(f"{model.url}/chat/completions", json=body) as response,
    ):
        assert response.status == 200
        if not body.get("stream"):
            whole: dict[str, Any] = (await response.json())["choices"][0]
            return whole
        lines = (await response.text()).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return joined([json.loads(line.removeprefix("data: ")) for line in lines[:-2]])


def joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    content = ""
    calls: dict[int, dict[str, Any]] = {}
    finish = None
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        content += choice["delta"].get("content") or ""
        finish = choice["finish_reason"] or finish
        for delta in choice["delta"].get("tool_calls") or []:
            call = calls.setdefault(delta["index"], {"function": {"name": "", "arguments": ""}})
            call["id"] = delta.get("id", call.get("id"))
            for key, piece in delta["function"].items():
                call["function"][key] += piece
    return {"message": {"content": content, "tool_calls": list(calls.values())}, "finish_reason": finish}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def after(answer: dict[str, Any], *results: str) -> list[dict[str, Any]]:
    """The messages that follow an answer with calls."""
    calls = answer["message"]["tool_calls"]
    tools = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": "", "tool_calls": calls}, *tools]


def called(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(call["function"]["name"], call["function"]["arguments"]) for call in answer["message"]["tool_calls"]]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_script_is_played_round_by_round_and_ends_with_its_sentence(model: ModelServer, stream: bool) -> None:
    broken = ToolCall("generate_image", '{"prompt": "a fo')
    model.script([[ToolCall("generate_image", {"prompt": "a fox"}), broken], [ToolCall("check_job")]], then="There.")
    first = await completion(model, user("go"), stream=stream)
    assert first["finish_reason"] == "tool_calls"
    assert called(first) == [("generate_image", '{"prompt": "a fox"}'), ("generate_image", '{"prompt": "a fo')]
    told = [user("go"), *after(first, "one", "two")]
    second = await completion(model, *told, stream=stream)
    assert called(second) == [("check_job", "{}")]
    last = await completion(model, *told, *after(second, "three"), stream=stream)
    assert (last["message"]["content"], last["finish_reason"]) == ("There.", "stop")
    assert model.requests[-1].tool_results == ["one", "two", "three"]
    assert model.pending == 0


async def test_pictures_that_a_tool_returned_do_not_count_as_something_said(model: ModelServer) -> None:
    model.script([ToolCall("generate_image")], then=lambda results: f"{len(results)} result")
    first = await completion(model, user("go"))
    shown = user("Here are the images from the tool results above. Please analyze them.")
    last = await completion(model, user("go"), *after(first, "made"), shown)
    assert last["message"]["content"] == "1 result"


async def test_scripts_find_their_messages_when_two_people_write_at_once(model: ModelServer) -> None:
    model.script([], then="to Ann", match="Ann")
    model.script([], then="to Bob", match="Bob")
    assert (await completion(model, user("Bob here")))["message"]["content"] == "to Bob"
    assert (await completion(model, user("Ann here")))["message"]["content"] == "to Ann"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a lighthouse at dusk", {}),
        ("two pictures of a fox, 16:9, seed 7", {"count": 2, "size": "16:9", "seed": 7}),
        ("draw 3 nice images of 99 balloons at 1024x768 in 20 steps", {"count": 3, "size": "1024x768", "steps": 20}),
        ("a fox, 512×384", {"size": "512×384"}),
        ("two dogs", {}),
    ],
)
def test_what_a_message_says_of_its_picture_is_understood(text: str, expected: dict[str, Any]) -> None:
    assert picture_arguments(text) == {"prompt": text, **expected}


async def test_without_a_script_any_message_becomes_a_picture_and_a_sentence_about_it(model: ModelServer) -> None:
    first = await completion(model, user("a fox, seed 7"), stream=True)
    assert called(first) == [("generate_image", json.dumps({"prompt": "a fox, seed 7", "seed": 7}))]
    made = json.dumps({"images": [{"id": "1"}], "seed": 7})
    last = await completion(model, user("a fox, seed 7"), *after(first, made), stream=True)
    assert last["message"]["content"] == "Here is your picture (seed 7)."


async def test_call_runs_any_method_by_hand_and_shows_what_it_returned(model: ModelServer) -> None:
    first = await completion(model, user('/call check_job {"job": "x"}'))
    assert called(first) == [("check_job", '{"job": "x"}')]
    last = await completion(model, user('/call check_job {"job": "x"}'), *after(first, '{"state": "gone"}'))
    assert '{"state": "gone"}' in last["message"]["content"]
    unknown = await completion(model, user("/call nothing"))
    assert "check_job, generate_image" in unknown["message"]["content"]


def test_an_error_is_said_with_its_hint() -> None:
    result = json.dumps({"status": "error", "error": "No server answers.", "hint": "Start ComfyUI."})
    assert summarise([result]) == "That did not work: No server answers. Start ComfyUI."

"""A scripted model behind the OpenAI chat-completions interface.

A test says what the model does with the next message::

    async with ModelServer() as model:
        model.script([ToolCall("generate_image", {"prompt": "a fox"})], then="Here it is.")

Without a script the model follows a few rules that are good enough for a person in the sandbox: whatever is said
becomes a picture when ``generate_image`` is among the offered tools, ``/call <method> {json}`` calls any method by
hand, and the answer is a sentence about what the tool returned.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import html
import json
import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

MODEL_ID = "scripted"

#: How Open WebUI begins the user message that it writes itself when a tool returned pictures for the model.
TOOL_IMAGES_OPENING = "Here are the images from the tool results above"
#: How Open WebUI begins the system message with which it asks for a tool in its older, prompt-based mode.
LEGACY_OPENING = "Available Tools:"

CHAT_ID_HEADER = "X-OpenWebUI-Chat-Id"
ARGUMENT_PIECE = 24  # characters of a call's arguments in one delta: several deltas for any real call
NUMBER_WORDS = {"a couple of": 2, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
PICTURE_NOUNS = r"(?:pictures?|images?|photos?|paintings?|drawings?|versions?|variations?)"


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool: its name and its arguments; a string is sent as it is, well-formed or not."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The arguments as the model sends them."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


Reply = str | Callable[[list[str]], str]
Rounds = list[list[ToolCall]]


@dataclass(frozen=True)
class Script:
    """What the model does with one message: rounds of tool calls, then what it says about their results."""

    rounds: Rounds
    then: Reply
    match: str | None = None


@dataclass(frozen=True)
class Request:
    """One request that the model received."""

    seconds: float
    chat_id: str
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All messages, oldest first."""
        return [message for message in self.body.get("messages") or [] if isinstance(message, dict)]

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """The offered functions by name."""
        offered = (tool.get("function") or {} for tool in self.body.get("tools") or [])
        return {function["name"]: function for function in offered if function.get("name")}

    @property
    def text(self) -> str:
        """What the person said last."""
        index = self._last_said()
        return _text_of(self.messages[index]) if index is not None else ""

    @property
    def tool_results(self) -> list[str]:
        """What the tools returned since the person spoke."""
        return [_text_of(message) for message in self._since() if message.get("role") == "tool"]

    @property
    def round(self) -> int:
        """How many times the model has called tools since the person spoke."""
        return sum(1 for message in self._since() if message.get("role") == "assistant" and message.get("tool_calls"))

    @property
    def images(self) -> list[str]:
        """The addresses of all pictures in the request, in order."""
        parts = [part for message in self.messages for part in _parts_of(message)]
        return [str(part["image_url"]["url"]) for part in parts if part.get("type") == "image_url"]

    @property
    def attached(self) -> int:
        """How many pictures came with what the person said last."""
        index = self._last_said()
        return 0 if index is None else sum(part.get("type") == "image_url" for part in _parts_of(self.messages[index]))

    @property
    def said(self) -> str:
        """Names what the person said last, the same in all requests of one turn."""
        index = self._last_said()
        return f"{self.chat_id}/{index}/{self.text}"

    def _last_said(self) -> int | None:
        indexes = [
            index
            for index, message in enumerate(self.messages)
            if message.get("role") == "user" and not _text_of(message).startswith(TOOL_IMAGES_OPENING)
        ]
        return indexes[-1] if indexes else None

    def _since(self) -> list[dict[str, Any]]:
        index = self._last_said()
        return self.messages if index is None else self.messages[index + 1 :]


class ModelServer:
    """The scripted model as a server on a loopback port; use it with ``async with``."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, word_seconds: float = 0.0) -> None:
        """``word_seconds`` is the pause between two words of an answer, for watching one arrive."""
        self.host = host
        self.port = port
        self.word_seconds = word_seconds
        self.requests: list[Request] = []
        self._scripts: list[Script] = []
        self._playing: dict[str, Script] = {}
        self._legacy: dict[str, Script] = {}
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base address for an OpenAI client."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def pending(self) -> int:
        """How many scripts no message has claimed yet."""
        return len(self._scripts)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 * 1024**2)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._completions)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner:
            await asyncio.wait_for(self._runner.cleanup(), 10)

    def script(
        self,
        calls: Sequence[ToolCall] | Sequence[Sequence[ToolCall]] = (),
        then: Reply = "Done.",
        *,
        match: str | None = None,
    ) -> None:
        """Say what the model does with the next message (or with the next one that contains ``match``).

        ``calls`` is one list of calls, made in one answer, or a list of such lists, one answer after the other.
        ``then`` is the closing sentence, or a function that makes it of the results.
        """
        rounds: Rounds = []
        for call in calls:
            if isinstance(call, ToolCall):
                rounds = rounds or [[]]
                rounds[0].append(call)
            else:
                rounds.append(list(call))
        self._scripts.append(Script(rounds, then, match))

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": MODEL_ID, "object": "model", "created": int(time.time()), "owned_by": "tests"}
        return web.json_response({"object": "list", "data": [model]})

    async def _completions(self, http: web.Request) -> web.StreamResponse:
        try:
            body = await http.json()
        except json.JSONDecodeError as error:
            return web.json_response({"error": {"message": f"The body is not JSON: {error}"}}, status=400)
        request = Request(time.monotonic(), http.headers.get(CHAT_ID_HEADER, ""), body)
        self.requests.append(request)
        answer = self._answer(request)
        if body.get("stream"):
            return await self._stream(http, request, answer)
        return web.json_response(_whole(request, answer))

    def _answer(self, request: Request) -> str | list[ToolCall]:
        if legacy := _legacy_query(request):
            return self._choose_legacy(request, legacy)
        if request.round == 0:
            for query, script in self._legacy.items():
                if query in request.text and not request.tools:
                    return _say(script.then, _legacy_results(request))
            if taken := self._take(request.text):
                self._playing[request.said] = taken
            else:
                self._playing.pop(request.said, None)
        script = self._playing.get(request.said) or converse(request)
        return _next_round(script.rounds, len(request.tool_results)) or _say(script.then, request.tool_results)

    def _choose_legacy(self, request: Request, query: str) -> str:
        """In prompt-based mode the model names its tool in plain JSON and sees the result in the next request."""
        script = self._take(query) or converse(request, said=query)
        self._legacy[query] = script
        calls = [
            {"name": call.name, "parameters": call.arguments} for call in (script.rounds[0] if script.rounds else [])
        ]
        return json.dumps({"tool_calls": calls})

    def _take(self, said: str) -> Script | None:
        for index, script in enumerate(self._scripts):
            if script.match is None or script.match in said:
                return self._scripts.pop(index)
        return None

    async def _stream(self, http: web.Request, request: Request, answer: str | list[ToolCall]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        # A Stop closes the connection while the answer is on its way, which is no mishap here.
        with contextlib.suppress(ConnectionError):
            await response.prepare(http)
            for chunk in _chunks(request, answer):
                await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
                if self.word_seconds and isinstance(answer, str):
                    await asyncio.sleep(self.word_seconds)
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        return response


def _next_round(rounds: Rounds, answered: int) -> list[ToolCall]:
    """The calls of the first round of which nothing is answered yet; none where all are. Open WebUI 0.11 tells the
    calls of all rounds as if they were one."""
    for calls in rounds:
        if answered <= 0:
            return calls
        answered -= len(calls)
    return []


def converse(request: Request, said: str | None = None) -> Script:
    """What the model does of its own accord with a message."""
    text = _plain(request.text if said is None else said)
    tools = request.tools or _legacy_tools(request)
    if text.startswith("/call"):
        return _by_hand(text, tools)
    wanted = _wanted(text, request.attached, tools)
    if not wanted:
        return Script([], "I can only draw, and nothing to draw with is switched on in this chat.")
    name, arguments = wanted
    known = (tools[name].get("parameters") or {}).get("properties") or {}
    return Script([[ToolCall(name, {key: value for key, value in arguments.items() if key in known})]], summarise)


def picture_arguments(text: str) -> dict[str, Any]:
    """The arguments of the picture that a message asks for: the message as prompt, and its size and number."""
    arguments: dict[str, Any] = {"prompt": text}
    # Open WebUI's page makes a "×" of an "x" between two numbers at the end of a message.
    if size := re.search(r"\b(\d{1,2}:\d{1,2}|\d{3,4} ?[x×] ?\d{3,4})\b", text):
        arguments["size"] = size[1].replace(" ", "")
    words = "|".join(NUMBER_WORDS)
    if count := re.search(rf"\b({words}|\d{{1,2}})\s+(?:\w+\s+){{0,2}}?{PICTURE_NOUNS}\b", text, re.IGNORECASE):
        number = count[1].lower()
        arguments["count"] = NUMBER_WORDS.get(number) or int(number)
    if seed := re.search(r"\bseed\s*[:=]?\s*(\d+)", text, re.IGNORECASE):
        arguments["seed"] = int(seed[1])
    if steps := re.search(r"\b(\d+)\s+steps\b", text, re.IGNORECASE):
        arguments["steps"] = int(steps[1])
    return arguments


def summarise(results: list[str]) -> str:
    """A short sentence about what the tools returned."""
    return "\n\n".join(_summary(result) for result in results) or "Nothing came back."


def _wanted(text: str, attached: int, tools: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]] | None:
    """The tool to call for a message, and the arguments it would take; None where there is nothing to call."""
    first = text.split(maxsplit=1)[0].lower().strip(",.:;!?") if text.split() else ""
    choices: list[tuple[str, bool, dict[str, Any]]] = [
        ("list_models", bool(re.search(r"\b(which|what|list)\b.*\bmodels\b", text, re.IGNORECASE)), {}),
        ("list_workflows", bool(re.search(r"\b(which|what|list)\b.*\bworkflows\b", text, re.IGNORECASE)), {}),
        ("upscale_image", first in {"upscale", "enlarge"}, {}),
        ("edit_image", attached > 0, {"prompt": text, "instruction": text}),
        ("generate_image", True, picture_arguments(text)),
    ]
    for method, fits, arguments in choices:
        if fits and (name := _offered(method, tools)):
            return name, arguments
    return None


def _offered(method: str, tools: dict[str, dict[str, Any]]) -> str | None:
    """The name under which a method is offered; where two tools share a name, one has its tool's id in front."""
    return next((name for name in tools if name == method or name.endswith(f"_{method}")), None)


def _by_hand(text: str, tools: dict[str, dict[str, Any]]) -> Script:
    matched = re.match(r"/call\s+(\w+)\s*(.*)$", text, re.DOTALL)
    name = _offered(matched[1], tools) if matched else None
    if not matched or not name:
        return Script([], "Write /call <method> {json}. The methods here: " + (", ".join(sorted(tools)) or "none."))
    return Script([[ToolCall(name, matched[2].strip() or "{}")]], lambda results: _fenced(results))


def _fenced(results: list[str]) -> str:
    return "\n\n".join(f"```\n{result}\n```" for result in results) or "Nothing came back."


def _summary(result: str) -> str:
    try:
        value = json.loads(result)
    except json.JSONDecodeError:
        return result.strip() or "Nothing came back."
    if not isinstance(value, dict):
        return f"The tool returned {result.strip()}."
    if error := value.get("error"):
        hint = value.get("hint")
        return f"That did not work: {error}" + (f" {hint}" if hint else "")
    made: list[Any] = next(
        (value[key] for key in ("images", "files", "outputs") if isinstance(value.get(key), list)), []
    )
    seeds = {item["seed"] for item in [value, *_dictionaries(made)] if isinstance(item.get("seed"), int)}
    prompt = value.get("prompt")
    told = [f"{len(made)} pictures" if len(made) > 1 else "your picture" if made else "done"]
    if isinstance(prompt, str):
        told.append(f"of {prompt}")
    if seeds:
        told.append(f"(seed {', '.join(str(seed) for seed in sorted(seeds))})")
    opening = "Here are" if len(made) > 1 else "Here is" if made else "It is"
    players = value.get("players")
    shown = f"\n\n{players}" if isinstance(players, str) else ""
    return f"{opening} {' '.join(told)}.{shown}"


def _dictionaries(items: list[Any]) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)]


def _say(reply: Reply, results: list[str]) -> str:
    return reply if isinstance(reply, str) else reply(results)


def _plain(text: str) -> str:
    """The message without what Open WebUI writes into it about attached files."""
    return re.sub(r"<attached_files>.*?</attached_files>", "", text, flags=re.DOTALL).strip()


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in _parts_of(message) if part.get("type") == "text")


def _parts_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return _dictionaries(content) if isinstance(content, list) else []


def _legacy_query(request: Request) -> str | None:
    """What the person said, when Open WebUI asks for a tool in prompt-based mode; None otherwise."""
    system = next((_text_of(message) for message in request.messages if message.get("role") == "system"), "")
    if not system.startswith(LEGACY_OPENING):
        return None
    return _plain(request.text.rpartition("Query:")[2]) or request.text


def _legacy_results(request: Request) -> list[str]:
    """What the tools returned, which in prompt-based mode stands among the sources in the text."""
    text = "\n".join(_text_of(message) for message in request.messages)
    sources = re.findall(r"<source id=\"\d+\" name=[^>]*>(.*?)</source>", text, re.DOTALL)
    return [html.unescape(source).strip() for source in sources]


def _legacy_tools(request: Request) -> dict[str, dict[str, Any]]:
    system = next((_text_of(message) for message in request.messages if message.get("role") == "system"), "")
    if not system.startswith(LEGACY_OPENING):
        return {}
    with contextlib.suppress(json.JSONDecodeError):
        offered, _ = json.JSONDecoder().raw_decode(system[len(LEGACY_OPENING) :].lstrip())
        return {tool["name"]: tool for tool in offered if isinstance(tool, dict) and tool.get("name")}
    return {}


def _call_parts(calls: list[ToolCall]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{uuid.uuid4().hex[:20]}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.text},
        }
        for call in calls
    ]


def _usage(request: Request, answer: str | list[ToolCall]) -> dict[str, int]:
    prompt = len(json.dumps(request.messages)) // 4
    completion = len(answer if isinstance(answer, str) else "".join(call.text for call in answer)) // 4
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _whole(request: Request, answer: str | list[ToolCall]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer if isinstance(answer, str) else None}
    if not isinstance(answer, str):
        message["tool_calls"] = _call_parts(answer)
    finish = "stop" if isinstance(answer, str) else "tool_calls"
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL_ID,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": _usage(request, answer),
    }


def _chunks(request: Request, answer: str | list[ToolCall]) -> Iterator[dict[str, Any]]:
    frame = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time())}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**frame, "model": MODEL_ID, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": "" if isinstance(answer, str) else None})
    if isinstance(answer, str):
        for word in re.findall(r"\S+\s*|\s+", answer):
            yield chunk({"content": word})
    else:
        for index, part in enumerate(_call_parts(answer)):
            function = part["function"]
            opening = {**part, "function": {"name": function["name"], "arguments": ""}}
            yield chunk({"tool_calls": [{"index": index, **opening}]})
            for start in range(0, len(function["arguments"]), ARGUMENT_PIECE):
                piece = function["arguments"][start : start + ARGUMENT_PIECE]
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "stop" if isinstance(answer, str) else "tool_calls")
    if (request.body.get("stream_options") or {}).get("include_usage"):
        yield {**frame, "model": MODEL_ID, "choices": [], "usage": _usage(request, answer)}


async def _serve(port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with ModelServer(port=port, word_seconds=0.05) as model:
        print(f"The scripted model answers at {model.url} as {MODEL_ID!r}; Ctrl-C stops it.", flush=True)
        await stopped.wait()


def main() -> None:
    """Serve the scripted model until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.model_server", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8001, help="the port on 127.0.0.1 (default: %(default)s)")
    asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()

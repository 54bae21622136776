"""More than anybody needs: whatever a server, a user or a model sends, and however much of it, the event loop goes on.

Each row is an attack on the real tool; the outcome required is that no callback of the loop, and no call that keeps the
interpreter's lock, takes longer than `MOST_SECONDS` of CPU. The goal is a tenth of a second; the bound is higher, since
machines are slow and busy, and a row has a few attempts.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer, Raw, status
from tests.attacks.house import House, valves
from tests.attacks.monitor import watched
from tests.attacks.table import each, told
from tests.support.pictures import png

pytestmark = pytest.mark.real_clock  # the hostile server has an event loop of its own

MOST_SECONDS = 0.3
ATTEMPTS = 3


async def stands_still(act: Callable[[], Awaitable[object]]) -> tuple[float, str]:
    """For how long the loop stands still at most, and in what, in the best of a few attempts."""
    best = (1e9, "")
    for _ in range(ATTEMPTS):
        with watched() as longest:
            await act()
            await tool.close_servers()
        best = min(best, (longest.seconds, longest.what))
        if best[0] < MOST_SECONDS:
            break
    return best


Attack = Callable[[House, HostileServer], Awaitable[object]]
MOST_TOLD = 50_000  # characters that a model is told, with what JSON adds


async def holds(home: House, server: HostileServer, attack: Attack, said: str) -> None:
    """The loop goes on under this attack, and what the model is told is short and says this."""

    async def act() -> None:
        answer = told(await attack(home, server))
        assert said in answer.replace("\\", "")
        assert len(answer) < MOST_TOLD

    seconds, what = await stands_still(act)
    assert seconds < MOST_SECONDS, what


def computes() -> None:
    begin = time.thread_time()
    while time.thread_time() - begin < 0.05:
        pass


async def test_the_monitor_sees_a_callback_that_computes_for_long() -> None:
    with watched() as longest:
        asyncio.get_running_loop().call_soon(computes)
        await asyncio.sleep(0.01)
    assert longest.seconds > 0.05
    assert longest.what == "computes"


async def test_the_monitor_sees_a_long_call_of_the_json_decoder_in_any_thread() -> None:
    text = json.dumps(list(range(300_000)))
    with watched() as longest:
        await asyncio.to_thread(json.loads, text)
    assert longest.seconds > 0.005
    assert "loads" in longest.what


# --- frames ---

FRAME_FLOODS = {
    "empty texts": b"\x81\x00",
    "empty bytes": b"\x82\x00",
    "pings": b"\x89\x00",
    "long pings": b"\x89\x7d" + b"x" * 125,
    "pongs": b"\x8a\x00",
    "texts of one letter": b"\x81\x01a",
    "texts in two pieces": b"\x01\x01{\x80\x01}",
    "a text in empty pieces": b"\x00\x00",
}


@pytest.mark.parametrize("unit", list(each(FRAME_FLOODS)))
async def test_a_flood_of_frames_is_cut_off_and_the_run_ends_well(
    home: House, server: HostileServer, unit: bytes
) -> None:
    begins = b"\x01\x00" if unit == b"\x00\x00" else b""
    server.frames = [Raw(begins + unit * (3_000_000 // len(unit)))]
    server.outputs = {"1": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}}
    server.files["a.png"] = png()

    async def run() -> None:
        answer = await home.call("run_workflow", workflow="w", inputs={"prompt": "a fox"}, valves=valves(server))
        assert answer["status"] == "done"

    seconds, what = await stands_still(run)
    assert seconds < MOST_SECONDS, what


# --- lists of names ---


def names(count: int, length: int, end: str = ".safetensors", word: str = "model_") -> list[str]:
    """So many different names of about this length."""
    stem = (word * length)[: length - len(end) - 6]
    return [f"{stem}{number:06}{end}" for number in range(count)]


def loading(server: HostileServer, checkpoints: list[str]) -> None:
    """The server has the nodes of the bundled workflow "checkpoint", and lists these files."""
    for node in ("CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode", "SaveImage"):
        server.answers[f"/object_info/{node}"] = {node: {"input": {"required": {}}, "output": ["MODEL"], "name": node}}
    server.answers["/object_info/KSamplerSelect"] = {}  # which it does not have, though its name begins so
    loader = {"input": {"required": {"ckpt_name": [checkpoints, {}]}}, "output": ["MODEL", "CLIP", "VAE"], "name": "x"}
    server.answers["/object_info/CheckpointLoaderSimple"] = {"CheckpointLoaderSimple": loader}


async def lists_folders(home: House, server: HostileServer) -> Any:
    server.answers |= {"/models": names(60_000, 60, ""), "/models/": []}
    return await home.call("list_models", kind="zoo", valves=valves(server))


async def lists_models(home: House, server: HostileServer) -> Any:
    server.answers |= {"/models": ["loras"], "/models/loras": names(50_000, 60)}
    return await home.call("list_models", kind="loras", search="zebra zoo", valves=valves(server))


async def lists_checkpoints(home: House, server: HostileServer) -> Any:
    loading(server, names(20_000, 250, word="xl"))
    return await home.call("generate_image", prompt="a fox", model="zebra", valves=valves(server))


async def describes_a_bundled_workflow(home: House, server: HostileServer) -> Any:
    loading(server, names(20_000, 250, word="xl"))
    return await home.call("describe_workflow", workflow="checkpoint", valves=valves(server))


async def lists_saved_workflows(home: House, server: HostileServer) -> Any:
    server.answers |= {"/userdata": [{"path": name} for name in names(20_000, 90, ".json")], "/userdata/workflows": {}}
    return await home.call("run_workflow", workflow="zebra", valves=valves(server, server_workflows=True))


async def finds_saved_workflows(home: House, server: HostileServer) -> Any:
    server.answers |= {"/userdata": [{"path": name} for name in names(40_000, 60, ".json")], "/userdata/workflows": {}}
    return await home.call("list_workflows", search="zebra", valves=valves(server, server_workflows=True))


def with_templates(server: HostileServer, count: int) -> None:
    """The server has so many templates, each with as many words about it as are read, and many models."""
    words = [f"{'model ' * 8}{number}" for number in range(20)]
    templates = [
        {
            "name": f"t{n}",
            "title": "t" * 200,
            "description": "zebra " * 90,
            "tags": words,
            "models": [*words, f"model {n}"],
        }
        for n in range(count)
    ]
    server.answers |= {"/templates/": {"nodes": []}, "/templates/index.json": [{"templates": templates}]}
    server.answers |= {"/workflow_templates": {f"p{n}": ["a"] * 100 for n in range(5000)}}
    server.answers |= {"/models": ["loras"], "/models/loras": names(6000, 60)}


async def lists_templates(home: House, server: HostileServer) -> Any:
    with_templates(server, 1200)
    return await home.call("list_workflows", search="zebra lions 3d", valves=valves(server, server_workflows=True))


async def names_a_template(home: House, server: HostileServer) -> Any:
    with_templates(server, 1200)
    return await home.call("run_workflow", workflow="model zebra lion", valves=valves(server, server_workflows=True))


async def lists_choices(home: House, server: HostileServer) -> Any:
    server.inputs["choice"] = [names(70_000, 60), {}]
    graph = {"1": {"class_type": "Maker", "inputs": {"text": "a fox", "choice": "model_000000.safetensors"}}}
    inputs = {"Maker.choice": "zebra"}
    return await home.call("run_workflow", workflow="w", inputs=inputs, valves=valves(server, graph))


# What a server lists too much of, and a word of the answer that is required.
LISTS: dict[str, tuple[Attack, str]] = {
    "folders": (lists_folders, "There is no kind of model"),
    "models": (lists_models, "No installed name holds"),
    "checkpoints": (lists_checkpoints, "no such model is installed"),
    "checkpoints, described": (describes_a_bundled_workflow, '"done"'),
    "saved workflows": (lists_saved_workflows, "no workflow has that name"),
    "saved workflows, searched": (finds_saved_workflows, '"done"'),
    "templates": (lists_templates, '"done"'),
    "templates, named": (names_a_template, "no workflow has that name"),
    "choices": (lists_choices, "is not on offer"),
}


@pytest.mark.parametrize(("attack", "said"), list(LISTS.values()), ids=list(LISTS))
async def test_lists_of_any_length(home: House, server: HostileServer, attack: Attack, said: str) -> None:
    await holds(home, server, attack, said)


# --- workflows, in a file, in a valve, saved on a server ---


def chain(count: int) -> dict[str, Any]:
    """So many nodes in the API format, each linked to the one before it."""
    nodes = {}
    for number in range(count):
        image = [str(number - 1), 0] if number else None
        nodes[str(number)] = {"class_type": "Maker", "inputs": {"text": "a fox", "seed": 1, "image": image}}
    return nodes


def drawn(count: int) -> dict[str, Any]:
    """The same as ComfyUI's editor saves it."""
    nodes = [
        {
            "id": number,
            "type": "Maker",
            "inputs": [{"name": "image", "type": "IMAGE", "link": number or None}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [number + 1]}],
            "widgets_values": ["a fox", 1],
        }
        for number in range(count)
    ]
    links = [[number, number - 1, 0, number, 0, "IMAGE"] for number in range(1, count)]
    return {"nodes": nodes, "links": links, "version": 0.4}


def node(inputs: str) -> str:
    """A workflow of one node with these inputs, as JSON."""
    return f'{{"1": {{"class_type": "Maker", "inputs": {inputs}}}}}'


TOO_MANY, TOO_DEEP, NO_JSON = "has too many values", "is nested too deep", "is not valid JSON"
# What a file holds, and a word of the answer that is required.
WORKFLOWS: dict[str, tuple[Callable[[], str], str]] = {
    "many nodes": (lambda: json.dumps(chain(36_000)), TOO_MANY),
    "many nodes, drawn": (lambda: json.dumps(drawn(16_000)), TOO_MANY),
    "nodes as there are in nobody's workflow": (lambda: json.dumps(chain(2000)), ""),
    "many inputs": (lambda: node(json.dumps({f"i{number}": 1 for number in range(50_000)})), "more than 2000 inputs"),
    "many numbers": (lambda: node('{"a": [' + "1," * 1_000_000 + "1]}"), TOO_MANY),
    "many lists": (lambda: node('{"a": [' + "[]," * 500_000 + "1]}"), TOO_MANY),
    "deep lists": (lambda: node('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}"), TOO_DEEP),
    "deep objects": (lambda: '{"a": ' * 50_000, TOO_DEEP),
    "a long text": (lambda: node(json.dumps({"text": "x" * 6_000_000})), ""),
    "more than is read": (lambda: " " * 17_000_000, "more than 16 MB"),
    "spaces": (lambda: " " * 10_000_000, NO_JSON),
    "fences": (lambda: "```" * 3_000_000, NO_JSON),
    "comments": (lambda: "{" + "/* x */" * 100_000, NO_JSON),
    "half of a list": (lambda: node('["a", ' + '"a", ' * 30_000), NO_JSON),
    "JSON in JSON": (lambda: json.dumps({"prompt": json.dumps({"prompt": "{" + "[]," * 1_000_000})}), NO_JSON),
}


@pytest.mark.parametrize(("text", "said"), list(WORKFLOWS.values()), ids=list(WORKFLOWS))
async def test_workflows_of_any_length(home: House, server: HostileServer, text: Callable[[], str], said: str) -> None:
    server.answers |= {"/userdata": [{"path": "big.json"}], "/userdata/workflows": text().encode()}

    async def attack(home: House, server: HostileServer) -> Any:
        return await home.call("run_workflow", workflow="big", valves=valves(server, server_workflows=True))

    await holds(home, server, attack, said)


# --- what a model says ---


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


# A method, its arguments, and a word of the answer that is required.
CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a long prompt": ("generate_image", {"prompt": "fox " * 3_000_000}, "The argument prompt is longer"),
    "a prompt of choices": ("generate_image", {"prompt": "{a|b} (fox:1.2) " * 300_000}, "The argument prompt"),
    "a prompt of joined signs": ("generate_image", {"prompt": "e\u0301\u0327" * 3_000_000}, "The argument prompt"),
    "a long size": ("generate_image", {"prompt": "x", "size": "1" * 5_000_000}, "The argument size"),
    "a long model": ("generate_image", {"prompt": "x", "model": "xl" * 5_000_000}, "The argument model"),
    "many LoRAs": ("generate_image", {"prompt": "x", "loras": ["zebra"] * 200_000}, "The argument loras"),
    "many pictures": ("edit_image", {"prompt": "x", "images": ["picture 1"] * 300_000}, "The argument images"),
    "many pictures in words": ("edit_image", {"prompt": "x", "images": "picture 1, " * 900_000}, "The argument images"),
    "many inputs": ("run_workflow", {"inputs": {f"x{number}": 1 for number in range(300_000)}}, "300000 inputs"),
    "inputs in a long text": ("run_workflow", {"inputs": "{" + '"k": [],' * 2_000_000}, "The argument inputs"),
    "an input of lists": ("run_workflow", {"inputs": {"Maker.text": [[]] * 1_000_000}}, "The input Maker.text"),
    "an input with depth": ("run_workflow", {"inputs": {"Maker.text": deep(5000)}}, "The input Maker.text"),
    "an input with a long name": ("run_workflow", {"inputs": {"seed" * 2_000_000: 1}}, "seedseed"),
    "a long workflow": ("describe_workflow", {"workflow": "w." * 5_000_000}, "The argument workflow"),
    "a long search": ("list_workflows", {"search": "a b " * 3_000_000}, "The argument search"),
    "a long kind": ("list_models", {"kind": "lo_ra" * 3_000_000}, "The argument kind"),
    "a long job": ("check_job", {"job_id": "0-" * 5_000_000}, "The argument job_id"),
}


@pytest.mark.parametrize(("method", "arguments", "said"), list(CALLS.values()), ids=list(CALLS))
async def test_arguments_of_any_length(
    home: House, server: HostileServer, method: str, arguments: dict[str, Any], said: str
) -> None:
    if method == "run_workflow":
        arguments = {"workflow": "w", **arguments}

    async def attack(home: House, server: HostileServer) -> Any:
        answer = await home.call(method, **arguments, valves=valves(server))
        assert answer["code"] == "bad_argument"
        return answer

    await holds(home, server, attack, said)
    assert server.prompts == []


# --- what a server tells of its queue, of runs and of itself ---


def row(number: int, graph: Any = None, **extra: Any) -> list[Any]:
    return [number, f"{number:08}-0000-0000-0000-000000000000", graph or {}, extra, ["1"]]


def error(**said: Any) -> dict[str, Any]:
    """A history entry's status for a node's error that says this."""
    messages = [["execution_error", {"node_id": "1", "exception_type": "E", **said}]]
    return {"status": {"status_str": "error", "completed": False, "messages": messages}}


GRAPH = chain(300)
FILE = {"filename": "a.png", "subfolder": "", "type": "output"}
STATE = {"value": 1, "max": 2, "state": "running"}
HUGE = "http://secret.example/a " * 40_000  # a megabyte


def frame(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": {"prompt_id": "PROMPT", **data}}


# What a hostile server has or sends, and which method is called.
SERVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "a long queue": (
        "comfyui_status",
        {"queue": {"queue_running": [], "queue_pending": [row(n) for n in range(15_000)]}},
    ),
    "a queue of large graphs": ("check_job", {"queue": {"queue_running": [row(n, GRAPH) for n in range(100)]}}),
    "a history of large graphs": (
        "check_job",
        {"history": {row(n)[1]: {"prompt": row(n, GRAPH), "outputs": {}} for n in range(200)}},
    ),
    "a history of many files": (
        "check_job",
        {"history": {row(n)[1]: {"prompt": row(n), "outputs": {"1": {"a": [FILE] * 1000}}} for n in range(100)}},
    ),
    "many texts": ("run_workflow", {"outputs": {str(n): {"text": ["word "] * 500} for n in range(60)}}),
    "long texts": ("run_workflow", {"outputs": {"1": {"text": [HUGE] * 10}}}),
    "an error of megabytes": ("run_workflow", {"entry": error(exception_message=HUGE, exception_type=HUGE)}),
    "an error of lists": ("run_workflow", {"entry": error(exception_message=[[HUGE]] * 5)}),
    "a long refusal": ("run_workflow", {"answers": {"/prompt": status(400, json.dumps({"error": HUGE}))}}),
    "many devices": (
        "comfyui_status",
        {"answers": {"/system_stats": {"system": {}, "devices": [{"name": "x"}] * 9999}}},
    ),
    "a long version": (
        "comfyui_status",
        {"answers": {"/system_stats": {"system": {"comfyui_version": "1." * 99_999}}}},
    ),
    "cached nodes": ("run_workflow", {"frames": [frame("execution_cached", nodes=["1"] * 300_000)] * 3}),
    "states of nodes": (
        "run_workflow",
        {"frames": [frame("progress_state", nodes={str(n): {**STATE, "node_id": str(n)} for n in range(30_000)})] * 3},
    ),
    "files of a node": ("run_workflow", {"frames": [frame("executed", node="1", output={"a": [FILE] * 50_000})] * 3}),
    "errors of a node": (
        "run_workflow",
        {"frames": [frame("execution_error", node_id="1", exception_message=HUGE)] * 3},
    ),
    "a node of megabytes": ("run_workflow", {"frames": [frame("executing", node=HUGE)] * 3}),
    "lists in frames": ("run_workflow", {"frames": ['{"type": "x", "data": {"a": [' + "[]," * 1_000_000 + "1]}}"] * 3}),
    "a frame of text": ("run_workflow", {"frames": ["x" * 30_000_000]}),
    "large previews": ("run_workflow", {"frames": [b"\0\0\0\1\0\0\0\1" + b"x" * 10_000_000] * 3}),
}


@pytest.mark.parametrize(("method", "server_has"), list(SERVERS.values()), ids=list(SERVERS))
async def test_whatever_a_server_tells(
    home: House, server: HostileServer, method: str, server_has: dict[str, Any]
) -> None:
    for name, value in server_has.items():
        setattr(server, name, value)
    arguments = {"workflow": "w", "inputs": {"prompt": "a fox"}} if method == "run_workflow" else {}

    async def attack(home: House, server: HostileServer) -> Any:
        answer = await home.call(method, **arguments, valves=valves(server))
        assert answer.get("code") != "internal_error"
        return answer

    await holds(home, server, attack, "")

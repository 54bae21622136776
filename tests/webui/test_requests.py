"""The table of requests (tests/support/model_calls.py): each call of a model is made in process, in a chat that holds
what it held, and what must come of it comes."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

import comfyui_tool as tool
from tests.attacks.house import House, house
from tests.support.further_model_calls import FURTHER_REQUESTS
from tests.support.graphs import defined, node
from tests.support.model_calls import REQUESTS, Asked, Call
from tests.support.pictures import saved
from tests.support.runs import models_of
from tests.support.stand_in import DEFAULT_MODELS, StandIn
from tests.support.stand_in.custom import SPEAKING_NODES

CHAT, USER = "temporary:requests", "owner"
MODELS = {
    **DEFAULT_MODELS,
    "checkpoints": ["sd_xl_base_1.0.safetensors", *models_of("ace-step")["checkpoints"]],
}
for folder, names in models_of("wan-image-to-video").items():
    MODELS[folder] = [*MODELS.get(folder, []), *names]
VALVES = {"max_megapixels": 2.1, "allow_user_workflows": True}


@pytest.fixture
async def home() -> AsyncIterator[House]:
    with house() as place:
        yield place
        tool.ELSEWHERE.pop(CHAT, None)
        await tool.close_servers()


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(models=MODELS, step_seconds=0.0, custom_nodes=SPEAKING_NODES) as server:
        yield server


def photo(colour: str, **about: Any) -> bytes:
    return saved(Image.new("RGB", (96, 64), colour), "PNG", **about)


def drawn_mask() -> bytes:
    image = Image.new("RGB", (96, 64))
    ImageDraw.Draw(image).rectangle((8, 8, 40, 40), "white")
    return saved(image, "PNG")


def files_of(chat: str, comfy: StandIn) -> dict[str, bytes]:
    """The pictures of a chat, by their names."""
    if chat == "one":
        return {"fox.png": photo("red")}
    if chat == "photo":
        return {"photo.png": photo("blue")}
    if chat == "mask":
        return {"photo.png": photo("blue"), "mask.png": drawn_mask()}
    if chat == "two":
        return {"first.png": photo("blue"), "second.png": photo("red")}
    if chat == "workflow":
        graph = comfy.example_graph(steps=2, width=64, height=64, text="a saved owl")
        return {"made.png": with_graph(graph)}
    return {}


def with_graph(graph: dict[str, Any]) -> bytes:
    """A picture with a graph in it, as ComfyUI saves it."""
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    return saved(Image.new("RGB", (64, 64), "green"), "PNG", pnginfo=info)


def workflows_of(chat: str, comfy: StandIn) -> str:
    """What the administrator has pasted: one workflow, and in the chat "speaker" three more."""
    portrait = comfy.example_graph(steps=2, width=64, height=64, seed=5)
    product = comfy.example_graph(steps=2, width=64, height=64, seed=5, text="{{product}}, {{light}} light")
    ratio = {
        "blank": node("EmptyImage", width=64, height=64, batch_size=1, color=0),
        "ratio": node("Ratio", source=("blank", 0), prompt="a tree", aspect_ratio="1:1"),
        "save": node("SaveImage", images=("ratio", 0), filename_prefix="x"),
    }
    talk = {
        "silence": node("EmptyAudio", duration=1.0, sample_rate=44100, channels=2),
        "speak": node("Speak", source=("silence", 0), text="Hello", speed=1.0),
        "save": node("SaveAudio", audio=("speak", 0), filename_prefix="x"),
    }
    more = {
        "Product Shot v2": product,
        "ratio": ratio,
        "talk": {"description": "Speech: reads a text aloud", "workflow": talk},
    }
    return json.dumps({"portrait": portrait, **(more if chat == "speaker" else {})})


async def make_call(home: House, comfy: StandIn, asked: Asked, call: Call) -> tuple[dict[str, Any], dict[str, str]]:
    """What the call answers, and the names of the chat's pictures as ComfyUI gets them."""
    contents = files_of(asked.chat, comfy)
    ids = {name: home.put(data, name) for name, data in contents.items()}
    items = [{"type": "image", "id": its_id, "name": name} for name, its_id in ids.items()]
    messages = [{"role": "user", "content": asked.ask}]
    attached: list[Any] = items
    if asked.chat == "one":
        made = {"prompt_id": "p", "source": "", "of": 1, "seed": 1234}
        home.files[ids["fox.png"]].meta["data"] = {tool.JOB_KEY: made}
        tool.ELSEWHERE[CHAT] = {"earlier": tool.UnsavedMessage(1, tuple(items))}
        answer = {"role": "assistant", "content": f"Here it is: {ids['fox.png']}"}
        messages = [{"role": "user", "content": "a fox"}, answer, *messages]
        attached = []
    tools = tool.Tools()
    tools.valves = tool.Valves(endpoint=comfy.url, workflows=workflows_of(asked.chat, comfy), **VALVES)
    arguments = json.loads(with_ids(json.dumps(call.arguments), ids))
    method = getattr(tools, call.method)
    told: dict[str, Any] = {"__messages__": messages} if "__messages__" in method.__annotations__ else {}
    result = await method(
        **arguments,
        **told,
        __user__={"id": USER, "role": "user", "name": USER, "valves": tool.UserValves()},
        __request__=SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace())),
        __event_emitter__=home.page,
        __metadata__={"chat_id": CHAT, "message_id": "m", "user_message": {"files": attached}},
        __chat_id__=CHAT,
        __message_id__="m",
    )
    stored = {tool.read_input(data, name).stored_name: name for name, data in contents.items()}
    return json.loads(result) if isinstance(result, str) else result, stored


def with_ids(text: str, ids: dict[str, str]) -> str:
    for name, its_id in ids.items():
        text = text.replace(f"{{{name}}}", its_id)
    return text


def facts(comfy: Any, result: dict[str, Any], stored: dict[str, str], names: Any) -> dict[str, Any]:
    """The facts of these names about what ComfyUI was sent last."""
    graph = comfy.prompts[-1]["prompt"]
    workflow = tool.Workflow.parse("sent", graph, defined(**SPEAKING_NODES))
    loads = [node["inputs"]["image"] for node in graph.values() if node["class_type"] == "LoadImage"]
    loras = [node["inputs"] for node in graph.values() if node["class_type"].startswith("LoraLoader")]
    known = {
        "size": f"{workflow.value('width')}x{workflow.value('height')}",
        "count": (workflow.value("batch_size") if "batch_size" in workflow.parameters else 1) * len(comfy.prompts),
        "loras": [(lora["lora_name"], lora["strength_model"]) for lora in loras],
        "from": [stored.get(name) for name in loads],
        "workflow": result.get("workflow"),
        "model": result.get("model"),
    }
    return {name: known[name] if name in known else workflow.value(name) for name in names}


ROWS = [(asked, call) for asked in (*REQUESTS, *FURTHER_REQUESTS) for call in asked.calls]


@pytest.mark.parametrize(
    ("asked", "call"), ROWS, ids=[f"{asked.ask[:30]}-{call.who}-{number}" for number, (asked, call) in enumerate(ROWS)]
)
async def test_what_must_come_of_a_models_call_comes(home: House, comfy: StandIn, asked: Asked, call: Call) -> None:
    result, stored = await make_call(home, comfy, asked, call)
    come = dict(call.come)
    told = json.dumps(result, ensure_ascii=False)
    if "error" in come:
        assert result["status"] == "error", told
        assert come["error"] in f"{result['error']} {result['hint']}"
        assert comfy.prompts == []
        return
    assert result["status"] == "done", told
    assert come.pop("told", "") in told
    assert come.pop("note", "") in json.dumps(result, ensure_ascii=False)
    if come.get("seed") == "random":
        del come["seed"]
        assert result["seed"] > 0
    if come:
        assert facts(comfy, result, stored, come) == come

"""Workflows that users bring: every value in them is the user's.

So the rule for paths holds for all of them, the saved ones too, also where other nodes join texts to a path; no file on
the server is taken by its name, since it may be somebody else's; and an administrator can say which nodes there may be.
"""

import copy
import json
from typing import Any

import pytest

from tests.attacks.hostile import HostileServer
from tests.attacks.house import ADMINISTRATOR, OWNER, House, valves
from tests.attacks.test_paths import LISTS, OUTSIDE, saver
from tests.support.pictures import png

JOIN = {"input": {"required": {"a": ["STRING", {}], "b": ["STRING", {}]}}, "output": ["STRING"], "name": "Join"}
WORD = {"input": {"required": {"value": ["STRING", {}]}}, "output": ["STRING"], "name": "PrimitiveString"}
LOAD_IMAGE = {
    "input": {"required": {"image": [["alice.png", "bob.png"], {"image_upload": True}]}},
    "output": ["IMAGE", "MASK"],
    "name": "LoadImage",
}


@pytest.fixture
def dataset(server: HostileServer) -> HostileServer:
    """A server whose nodes take names of files and folders."""
    names = ("filename_prefix", "folder_name", "target", "value", "note", "delimiter")
    server.inputs |= {name: ["STRING", {}] for name in names}
    server.inputs["picture"] = ["IMAGE", {}]
    for node in (JOIN, WORD, LOAD_IMAGE):
        server.answers[f"/object_info/{node['name']}"] = {node["name"]: node}
    return server


def own(graph: Any) -> dict[str, Any]:
    return {"workflow": "own", "mine": {"workflows": json.dumps({"own": graph})}}


async def run(home: House, server: HostileServer, graph: Any, who: str = OWNER, **more: Any) -> Any:
    valve = {"allow_user_workflows": True, **more.pop("valve", {})}
    return await home.call("run_workflow", who, **own(graph), **more, valves=valves(server, **valve))


def linked(*words: str, joined: bool = False, kind: str = "PrimitiveString") -> dict[str, Any]:
    """A graph whose file name comes from nodes that hold these words."""
    graph = saver(filename_prefix=["2", 0])
    if joined:
        graph["2"] = {"class_type": "Join", "inputs": {"a": words[0], "b": words[1]}}
    else:
        graph["2"] = {"class_type": kind, "inputs": {"value": words[0]}}
    return graph


# --- paths ---


@pytest.mark.parametrize("name", ["filename_prefix", "folder_name", "target"])
@pytest.mark.parametrize("value", OUTSIDE.values(), ids=OUTSIDE)
async def test_a_saved_value_that_leads_out_is_refused(
    home: House, dataset: HostileServer, name: str, value: str
) -> None:
    answer = await run(home, dataset, saver(**{name: value}))
    assert (answer["code"], dataset.prompts) == ("bad_argument", [])


@pytest.mark.parametrize(
    "value", ["http://10.0.0.5/x", "file:///etc/passwd", "\\\\host\\x", "~/x", ["../x"], {"a": "/x"}]
)
async def test_so_is_an_address_and_what_stands_in_lists(home: House, dataset: HostileServer, value: Any) -> None:
    answer = await run(home, dataset, saver(note=value))
    assert (answer["status"], dataset.prompts) == ("error", [])


@pytest.mark.parametrize(
    "words",
    [("..", "/x"), (".", "./x"), ("a", "/etc/x"), ("x/", "y"), ("C", ":/x"), ("a..b", "c"), ("a\\", "b"), ("x.", ".")],
)
async def test_texts_that_nodes_could_join_to_such_a_path_are_refused(
    home: House, dataset: HostileServer, words: tuple[str, str]
) -> None:
    answer = await run(home, dataset, linked(*words, joined=True))
    assert (answer["code"], dataset.prompts) == ("bad_argument", [])


@pytest.mark.parametrize("prompt", ["../x", "/etc/x"])
async def test_a_prompt_that_becomes_such_a_path_is_refused(home: House, dataset: HostileServer, prompt: str) -> None:
    answer = await run(home, dataset, linked("a", "b", joined=True), inputs={"Join.a": prompt})
    assert (answer["code"], dataset.prompts) == ("bad_argument", [])


@pytest.mark.parametrize(
    "graph",
    [
        saver(filename_prefix="video/fox", target="sets/fox", note="mood: calm"),
        saver(text="/imagine ../a fox: 16/9", note="two\nlines of ../text"),
        linked("video/fox"),
        linked("fox", "red", joined=True),
        saver(delimiter="/"),
    ],
    ids=["names in a folder", "a prompt", "a name by a link", "joined names", "a slash between words"],
)
async def test_ordinary_values_are_taken(home: House, dataset: HostileServer, graph: dict[str, Any]) -> None:
    await run(home, dataset, graph)
    assert len(dataset.prompts) == 1


async def test_an_administrators_own_workflow_may_hold_any_path(home: House, dataset: HostileServer) -> None:
    await run(home, dataset, saver(filename_prefix="../shared/fox"), ADMINISTRATOR)
    assert len(dataset.prompts) == 1


async def test_what_does_not_run_is_not_looked_at(home: House, dataset: HostileServer) -> None:
    graph = saver() | {"9": {"class_type": "PrimitiveString", "inputs": {"value": "/etc/x"}}}
    await run(home, dataset, graph)
    assert len(dataset.prompts) == 1


# --- files of other people ---


def with_picture(name: str = "bob.png") -> dict[str, Any]:
    graph = saver(picture=["2", 0])
    graph["2"] = {"class_type": "LoadImage", "inputs": {"image": name}, "_meta": {"title": "Load Image"}}
    return graph


@pytest.mark.parametrize("name", ["bob.png", "bob.png [output]", "sub/bob.png", "nobody.png", "bob.png [input]"])
async def test_a_picture_that_lies_on_the_server_is_not_taken(home: House, dataset: HostileServer, name: str) -> None:
    answer = await run(home, dataset, with_picture(name))
    assert (answer["status"], dataset.prompts) == ("error", [])


async def test_a_picture_of_the_chat_takes_its_place(home: House, dataset: HostileServer) -> None:
    await run(home, dataset, with_picture(), images=[home.put(png())])
    (body,) = dataset.prompts
    assert body["prompt"]["2"]["inputs"]["image"] not in ("bob.png", "alice.png")


@pytest.mark.parametrize(("node", "name", "choices"), LISTS, ids=[node for node, *_ in LISTS])
async def test_what_lists_users_files_is_not_used(
    home: House, dataset: HostileServer, node: str, name: str, choices: list[str]
) -> None:
    definition = {"input": {"required": {name: [choices, {}]}}, "output": ["IMAGE"], "name": node}
    dataset.answers[f"/object_info/{node}"] = {node: definition}
    graph = saver(picture=["2", 0])
    graph["2"] = {"class_type": node, "inputs": {name: choices[0]}}
    answer = await run(home, dataset, graph)
    assert (answer["code"], dataset.prompts) == ("bad_argument", [])


@pytest.mark.parametrize("value", ["input/bob.mp4", "bob.webm", "output/bob_00001_.png"])
async def test_a_loader_of_any_text_takes_no_users_file(home: House, dataset: HostileServer, value: str) -> None:
    node = "VHS_LoadVideoPath"
    definition = {"input": {"required": {"video": ["STRING", {}]}}, "output": ["IMAGE"], "name": node}
    dataset.answers[f"/object_info/{node}"] = {node: definition}
    graph = saver(picture=["2", 0])
    graph["2"] = {"class_type": node, "inputs": {"video": value}}
    answer = await run(home, dataset, graph)
    assert (answer["status"], dataset.prompts) == ("error", [])


# --- nodes ---


@pytest.mark.parametrize(
    ("nodes", "may"),
    [("", True), ("Maker", True), ("make*", True), ("KSampler, Maker", True), ("KSampler", False), ("Mak", False)],
)
async def test_an_administrator_says_which_nodes_there_may_be(
    home: House, dataset: HostileServer, nodes: str, may: bool
) -> None:
    graph = copy.deepcopy(saver())
    answer = await run(home, dataset, graph, valve={"own_nodes": nodes})
    assert bool(dataset.prompts) is may
    if not may:
        assert answer["code"] == "not_permitted"
        assert "Maker" in answer["error"]


async def test_an_administrators_workflow_may_have_any_node(home: House, dataset: HostileServer) -> None:
    await home.call("run_workflow", OWNER, workflow="w", valves=valves(dataset, saver(), own_nodes="KSampler"))
    await run(home, dataset, saver(), ADMINISTRATOR, valve={"own_nodes": "KSampler"})
    assert len(dataset.prompts) == 2

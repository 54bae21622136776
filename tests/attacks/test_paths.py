"""Values of a caller that lead out of ComfyUI's folders.

What a caller sets at an input that is a path, by its name, by its use or by the value that is there already, is
refused when it has "..", is absolute, names a drive, or ends in the name of one of ComfyUI's folders. Prompts never
are, nor what an administrator saved. Choices that list users' files are files: they are neither listed nor taken by
name.
"""

import copy
from typing import Any

import pytest

from tests.attacks.hostile import HostileServer
from tests.attacks.house import House, valves
from tests.attacks.table import told

OUTSIDE = {
    "up": "../../../etc/x",
    "up at the end": "a/..",
    "up in between": "a/../../b",
    "up with backslashes": "..\\..\\x",
    "up behind spaces": "  ../x",
    "up in another script": "a/\u2025/../x",
    "absolute": "/etc/cron.d/x",
    "absolute with a backslash": "\\windows\\x",
    "of a drive": "C:\\x",
    "of a drive, with slashes": "c:/x",
    "of a drive, as it stands there": "C:x",
    "of another machine": "\\\\host\\share\\x",
    "in the folder of outputs": "x [output]",
    "in the folder of inputs": "x.png [input]",
    "in the folder of what is temporary": "x [temp]",
    "in a folder, with spaces": "x [input]  ",
}


def saver(**inputs: Any) -> dict[str, Any]:
    """A graph whose one node saves a data set, as an administrator saved it."""
    usual = {"text": "a fox", "seed": 1, "filename_prefix": "fox", "folder_name": "foxes", "target": "sets/fox"}
    return {"1": {"class_type": "Maker", "inputs": usual | inputs, "_meta": {"title": "Saver"}}}


@pytest.fixture
def dataset(server: HostileServer) -> HostileServer:
    """A server whose node takes names of files and folders."""
    server.inputs |= {name: ["STRING", {}] for name in ("filename_prefix", "folder_name", "target", "value")}
    return server


async def run(home: House, server: HostileServer, inputs: Any, graph: Any = None) -> Any:
    return await home.call("run_workflow", workflow="w", inputs=inputs, valves=valves(server, graph or saver()))


@pytest.mark.parametrize("name", ["Saver.filename_prefix", "1.filename_prefix", "Maker.folder_name"])
@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in OUTSIDE.items()])
async def test_a_path_that_leads_out_is_refused_at_an_input_for_paths(
    home: House, dataset: HostileServer, name: str, value: str
) -> None:
    answer = await run(home, dataset, {name: value})
    assert (answer["status"], dataset.prompts) == ("error", [])
    assert answer["code"] in ("bad_argument", "value_out_of_range", "limit_exceeded")


@pytest.mark.parametrize("value", ["../x", "/x", "C:/x", "x [output]"])
async def test_an_input_is_one_for_paths_by_what_it_holds(home: House, dataset: HostileServer, value: str) -> None:
    answer = await run(home, dataset, {"Saver.target": value})
    assert (answer["status"], dataset.prompts) == ("error", [])


@pytest.mark.parametrize("value", ["../x", "/x", "x [input]"])
async def test_an_input_is_one_for_paths_by_what_it_is_used_for(
    home: House, dataset: HostileServer, value: str
) -> None:
    graph = saver(filename_prefix=["2", 0])
    graph["2"] = {"class_type": "Word", "inputs": {"value": "fox"}, "_meta": {"title": "Word"}}
    word = {"input": {"required": {"value": ["STRING", {}]}}, "output": ["STRING"], "name": "Word"}
    dataset.answers["/object_info/Word"] = {"Word": word}
    answer = await run(home, dataset, {"Word.value": value}, graph)
    assert (answer["status"], dataset.prompts) == ("error", [])


@pytest.mark.parametrize("placeholder", ["%prompt%", "{{prompt}}"])
async def test_a_prompt_that_becomes_part_of_a_path_cannot_lead_out(
    home: House, dataset: HostileServer, placeholder: str
) -> None:
    graph = saver(filename_prefix=f"foxes/{placeholder}")
    answer = await run(home, dataset, {"prompt": "../../../x"}, graph)
    if answer["status"] == "error" and not dataset.prompts:
        return
    for body in dataset.prompts:
        assert ".." not in body["prompt"]["1"]["inputs"]["filename_prefix"]
    assert dataset.prompts


@pytest.mark.parametrize("value", OUTSIDE.values(), ids=OUTSIDE)
async def test_a_prompt_may_say_anything(home: House, dataset: HostileServer, value: str) -> None:
    await run(home, dataset, {"prompt": value})
    (body,) = dataset.prompts
    assert body["prompt"]["1"]["inputs"]["text"] == value


@pytest.mark.parametrize("saved", ["../shared/fox", "/mnt/fox", "D:/fox", "fox [output]"])
async def test_what_an_administrator_saved_is_sent_as_it_is(home: House, dataset: HostileServer, saved: str) -> None:
    await run(home, dataset, {"prompt": "a fox"}, saver(filename_prefix=saved, target=saved))
    (body,) = dataset.prompts
    inputs = body["prompt"]["1"]["inputs"]
    assert (inputs["filename_prefix"], inputs["target"]) == (saved, saved)


@pytest.mark.parametrize("value", ["foxes", "foxes/red fox", "2026-11-26/fox_%seed%", "a..b", "v1.2"])
async def test_a_name_inside_the_folder_is_taken(home: House, dataset: HostileServer, value: str) -> None:
    await run(home, dataset, {"Saver.filename_prefix": value})
    (body,) = dataset.prompts
    assert body["prompt"]["1"]["inputs"]["filename_prefix"].split("%")[0] == value.split("%")[0]


# --- choices that list users' files ---

FILES = ["alice-secret.latent", "bob-secret.latent", "example.latent"]
FOLDERS = ["alice-secret", "bob-secret", "bob-secret/faces", "example"]
# Inputs of nodes whose choices list what is in ComfyUI's folders: ComfyUI 0.33.0, ComfyUI 0.3.64, VideoHelperSuite.
LISTS = [
    ("LoadLatent", "latent", FILES),
    ("LoadTrainingDataset", "folder_name", FOLDERS),
    ("LoadImageDataSetFromFolder", "folder", FOLDERS),
    ("LoadVideoTextDataSetFromFolder", "folder", FOLDERS),
    ("LoadImageSetFromFolderNode", "folder", FOLDERS),
    ("LoadImageTextSetFromFolderNode", "folder", FOLDERS),
    ("VHS_LoadImages", "directory", FOLDERS),
]
each_list = pytest.mark.parametrize(("node", "name", "choices"), LISTS, ids=[node for node, *_ in LISTS])


@each_list
async def test_users_files_are_not_listed(
    home: House, dataset: HostileServer, node: str, name: str, choices: list[str]
) -> None:
    graph = offered(dataset, node, name, choices)
    answer = await home.call("describe_workflow", workflow="w", valves=valves(dataset, graph))
    assert answer["status"] == "done"
    assert "bob-secret" not in told(answer)


@each_list
async def test_users_files_are_not_taken_by_name(
    home: House, dataset: HostileServer, node: str, name: str, choices: list[str]
) -> None:
    graph = offered(dataset, node, name, choices)
    for wanted in (choices[1], "bob secret", "nothing"):
        answer = await run(home, dataset, {f"Loader.{name}": wanted}, copy.deepcopy(graph))
        assert (answer["status"], dataset.prompts) == ("error", [])
        assert "alice-secret" not in told(answer)


def offered(server: HostileServer, node: str, name: str, choices: list[str]) -> dict[str, Any]:
    """A graph with a node that loads what an administrator chose, the last of its choices."""
    definition = {"input": {"required": {name: [choices, {}]}}, "output": ["LATENT"], "name": node}
    server.answers[f"/object_info/{node}"] = {node: definition}
    server.inputs["samples"] = ["LATENT", {}]
    graph = saver(samples=["2", 0])
    graph["2"] = {"class_type": node, "inputs": {name: choices[-1]}, "_meta": {"title": "Loader"}}
    return graph

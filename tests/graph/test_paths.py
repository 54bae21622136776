"""What a caller may set at an input that is a path on the server."""

from collections.abc import Mapping
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.graphs import text_to_image

ELSEWHERE = [
    "../../../etc/cron.d/x",
    "a/../../b",
    "a\\..\\..\\b",
    "..",
    " ../x",
    "/etc/passwd",
    "\\\\host\\share",
    "~/x",
    "C:\\Windows\\x",
    "c:x",
    "file:///etc/passwd",
    "http://example.org/x",
    "picture.png [output]",
    "picture.png [INPUT]",
    "a\nb/x",
]
INSIDE = ["fox", "video/fox", "%date:yyyy-MM-dd%/fox", "a..b", "fox v1.5", "…", "folder\\fox", "fox [large]"]


def saving(prefix: Any = "ComfyUI", **nodes: Any) -> tool.Workflow:
    """A workflow with a saver called "Save", a note that holds words, and more nodes."""
    graph = {
        **text_to_image(),
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["decode", 0], "filename_prefix": prefix},
            "_meta": {"title": "Save"},
        },
        **nodes,
    }
    return tool.Workflow.parse("x", graph)


def text_node(**inputs: Any) -> Mapping[str, Any]:
    return {"class_type": inputs.pop("class_type", "PrimitiveString"), "inputs": inputs, "_meta": {"title": "Text"}}


def check(workflow: tool.Workflow, name: str, value: str) -> None:
    tool.check_paths(workflow, {name: value}, {name: f'inputs "{name}"'})


@pytest.mark.parametrize("value", ELSEWHERE)
def test_a_path_that_leads_out_of_comfyuis_folders_is_refused(value: str) -> None:
    with pytest.raises(tool.BadArgument, match=r'inputs "Save\.filename_prefix" is ".*leads out of the folder'):
        check(saving(), "Save.filename_prefix", value)


@pytest.mark.parametrize("value", INSIDE)
def test_a_name_in_a_folder_is_taken(value: str) -> None:
    check(saving(), "Save.filename_prefix", value)


@pytest.mark.parametrize(
    "name",
    ["filename_prefix", "output_path", "outputDir", "directory", "save_folder", "file", "subfolder", "file_name"],
)
def test_an_input_is_a_path_by_its_name(name: str) -> None:
    workflow = saving(extra=text_node(class_type="Any", **{name: "x"}))
    with pytest.raises(tool.BadArgument):
        check(workflow, f"Text.{name}", "../x")


@pytest.mark.parametrize("saved", ["video/ComfyUI", "C:\\out\\a", "/mnt/out"])
def test_an_input_is_a_path_by_the_value_that_it_was_saved_with(saved: str) -> None:
    workflow = saving(extra=text_node(class_type="Any", target=saved))
    with pytest.raises(tool.BadArgument):
        check(workflow, "Text.target", "../x")


def test_a_text_is_a_path_where_a_link_leads_it_to_one() -> None:
    workflow = saving(["text", 0], text=text_node(value="a"))
    with pytest.raises(tool.BadArgument):
        check(workflow, "Text.value", "../x")
    check(workflow, "Text.value", "video/fox")


@pytest.mark.parametrize("piece", ["../x", ".", "./", "/etc", "C:", "a/b"])
def test_a_text_that_others_are_joined_to_may_hold_no_part_of_a_path(piece: str) -> None:
    joined = text_node(class_type="StringConcatenate", string_a=["text", 0], string_b="b")
    joined["_meta"]["title"] = "Join"
    workflow = saving(["join", 0], text=text_node(value="a"), join=joined)
    with pytest.raises(tool.BadArgument):
        check(workflow, "Text.value", piece)
    check(workflow, "Text.value", "fox 1")


@pytest.mark.parametrize("words", ["a fox and/or a dog", "../what", "C: a story", "[output]", "/imagine a fox"])
def test_a_prompt_is_not_a_path(words: str) -> None:
    assert saving().find("prompt")
    check(saving(), "prompt", words)


def test_what_was_saved_in_the_workflow_stays() -> None:
    workflow = saving("../elsewhere/fox")
    assert workflow.bind({"prompt": "a fox"}).graph["save"]["inputs"]["filename_prefix"] == "../elsewhere/fox"


@pytest.mark.parametrize(
    ("class_type", "name", "choices"),
    [
        ("LoadLatent", "latent", ["ann.latent"]),
        ("LoadImageDataSetFromFolder", "folder", ["ann"]),
        ("LoadVideoTextDataSetFromFolder", "folder", ["ann"]),
        ("LoadImageSetFromFolderNode", "folder", ["ann", "bob/private"]),
        ("LoadImageTextSetFromFolderNode", "folder", ["ann", "bob/private"]),
        ("LoadTrainingDataset", "folder_name", ["ann"]),
        ("VHS_LoadImages", "directory", ["ann"]),
        ("VHS_LoadAudioUpload", "audio", ["ann.wav", "bob.mp3"]),
        ("LoadSomething", "which", ["a.png [output]", "b.png"]),
    ],
)
def test_choices_that_are_peoples_files_are_known(class_type: str, name: str, choices: list[str]) -> None:
    definitions = {class_type: tool.NodeDefinition.parse(class_type, {"input": {"required": {name: [choices]}}})}
    graph = {**text_to_image(), "load": text_node(class_type=class_type, **{name: choices[0]})}
    workflow = tool.Workflow.parse("x", graph, definitions)
    assert tool.lists_users_files(workflow, tool.Target("load", name))


@pytest.mark.parametrize(
    ("class_type", "choices"),
    [("CheckpointLoaderSimple", ["a.safetensors"]), ("LoadStyle", ["anime", "photo"]), ("SaveImage", ["a.png"])],
)
def test_models_and_styles_are_not(class_type: str, choices: list[str]) -> None:
    definitions = {class_type: tool.NodeDefinition.parse(class_type, {"input": {"required": {"which": [choices]}}})}
    graph = {**text_to_image(), "load": text_node(class_type=class_type, which=choices[0])}
    workflow = tool.Workflow.parse("x", graph, definitions)
    assert not tool.lists_users_files(workflow, tool.Target("load", "which"))

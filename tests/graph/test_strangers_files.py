"""Files that strangers saved in ComfyUI's editor, with packages that draw widgets themselves, and of older versions.

What is right here is what ComfyUI's front end 1.49.6 sent for such files with these packages installed.
"""

from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.conversion import parsed
from tests.support.graphs import ui_node, ui_workflow

FORCED = {"forceInput": True}
FORMATS = {"formats": {"video/h264-mp4": [["crf", "INT", {"default": 19}]]}}
KNOWN = parsed(
    {
        "Source": {"input": {"required": {}}},
        "Number": {"input": {"required": {"seed": ["INT", {}], "n": ["INT", {"default": 7}]}}},
        "Use": {"input": {"required": {"image": ["IMAGE"], "v": ["INT", {"default": 5}]}}},
        "Rows": {"input": {"required": {}, "optional": {"model": ["MODEL"], "clip": ["CLIP"]}}},
        "Managed": {"input": {"required": {"model": ["MODEL"], "text": ["TYPED_WITH_HELP"], "loras": ["LORAS", {}]}}},
        "Join": {
            "input": {"optional": {"a": ["STRING", FORCED], "b": ["STRING", FORCED], "mark": ["STRING", {}]}},
        },
        "Styles": {
            "input": {
                "required": {"styles": [["all"], {}]},
                "optional": {"positive": ["STRING", FORCED], "negative": ["STRING", FORCED], "chosen": ["STYLES", {}]},
            }
        },
        "Random": {"input": {"required": {"text": ["STRING", FORCED], "seed": ["INT", {"default": 0}]}}},
        "Sampler": {"input": {"required": {"steps": ["INT", {}]}, "optional": {"cache": ["CACHE_ARGS"]}}},
        "Saver": {"input": {"required": {"images": ["IMAGE"], "format": [["video/h264-mp4"], FORMATS]}}},
        "Loader": {
            "input": {
                "required": {"video": ["STRING", {}], "custom_width": ["INT", {}], "custom_height": ["INT", {}]},
                "optional": {"start": ["FLOAT", {"default": 0, "widgetType": "TIMESTAMP"}]},
            }
        },
        "KSampler": {"input": {"required": {"sampler_name": [["euler"], {}]}}},
        "Helper": {"input": {"required": {"text": ["STRING", {}], "add": [["Select the LoRA to add to the text"]]}}},
        "SaveImage": {"input": {"required": {"filename_prefix": ["STRING", {}]}}},
        "Film": {
            "input": {
                "required": {
                    "format": [
                        "COMFY_DYNAMICCOMBO_V3",
                        {"options": [{"key": "mp4", "inputs": {"required": {"codec": ["INT", {}]}}}]},
                    ],
                    "last": ["INT", {"default": 3}],
                }
            }
        },
    }
)


def inputs_of(*nodes: Any, links: Any = (), node_id: str = "5", **more: Any) -> Any:
    return tool.convert(ui_workflow(*nodes, links=links, **more), KNOWN)[node_id]["inputs"]


# --- widgets that a package's own script draws ---

ROW = {"on": True, "lora": "detail.safetensors", "strength": 0.5, "strengthTwo": None}


def test_the_loras_of_a_list_of_rows_are_sent_one_by_one() -> None:
    off = {"on": False, "lora": "anime.safetensors", "strength": 1, "strengthTwo": 0.2}
    values = [{}, {"type": "Header"}, ROW, off, {}, ""]
    assert inputs_of(ui_node(5, "Rows", values=values)) == {
        "lora_1": {"on": True, "lora": "detail.safetensors", "strength": 0.5},
        "lora_2": off,
    }


@pytest.mark.parametrize(
    ("values", "properties"),
    [
        ([{"version": 1}, "<lora:x:1>", [{"name": "x"}]], {"__lm_widget_ids": ["meta", "text", "loras"]}),
        (["<lora:x:1>", [{"name": "x"}]], {}),
    ],
)
def test_widgets_of_a_packages_own_type_are_read(values: Any, properties: Any) -> None:
    node = ui_node(
        5, "Managed", ("model", "MODEL", None), ("text", "TEXT", None, True), values=values, properties=properties
    )
    assert inputs_of(node) == {"text": "<lora:x:1>", "loras": {"__value__": [{"name": "x"}]}}


def test_what_a_file_holds_by_name_is_sent_without_the_pages_own_state() -> None:
    values = {"format": "video/h264-mp4", "crf": 5, "preview": {"paused": False}, "images": "x"}
    node = ui_node(5, "Saver", ("images", "IMAGE", None), values=values)
    assert inputs_of(node) == {"format": "video/h264-mp4", "crf": 5}


@pytest.mark.parametrize(
    "values", [[1, [{"name": "lost.safetensors"}]], {"steps": 1, "x": {"lora": "lost.safetensors"}}]
)
def test_a_lora_that_cannot_be_placed_is_refused_or_sent_but_never_lost(values: Any) -> None:
    node = ui_node(5, "Sampler", ("cache", "CACHE_ARGS", None), values=values)
    try:
        assert "lost.safetensors" in str(inputs_of(node))
    except tool.WorkflowRefused as refused:
        assert '"Sampler", node 5' in refused.message
        assert "lost.safetensors" in refused.message


def test_values_that_only_a_script_can_tell_apart_are_refused() -> None:
    with pytest.raises(tool.WorkflowRefused, match=r'"Managed", node 5: only the script .* is "text"'):
        inputs_of(ui_node(5, "Managed", ("model", "MODEL", None), values=[7, "<lora:x:1>", [{"name": "x"}]]))


def test_a_list_that_only_helps_to_write_goes_back_to_its_first_choice() -> None:
    node = ui_node(5, "Helper", values=["a cat", "gone.safetensors"])
    assert inputs_of(node) == {"text": "a cat", "add": "Select the LoRA to add to the text"}


# --- inputs that became sockets ---


def test_a_value_of_an_input_that_became_a_socket_shifts_nothing() -> None:
    assert inputs_of(ui_node(5, "Join", values=["", "", ","])) == {"mark": ","}
    assert inputs_of(ui_node(5, "Join", values=[","])) == {"mark": ","}


def test_sockets_and_a_packages_own_widget_are_told_apart_by_how_many_values_there_are() -> None:
    node = ui_node(5, "Styles", ("positive", "STRING", None, True), values=["all", "", "", "one,two"])
    assert inputs_of(node) == {"styles": "all", "chosen": "one,two"}


def test_the_slot_after_a_seed_is_not_taken_for_that_of_a_socket() -> None:
    assert inputs_of(ui_node(5, "Random", values=[7, True])) == {"seed": 7}


def test_an_empty_slot_is_no_value_for_a_socket_of_a_packages_own_type() -> None:
    assert inputs_of(ui_node(5, "Sampler", values=[4, ""])) == {"steps": 4}


# --- group nodes, which older front ends had in place of subgraphs ---

GROUP = {
    "nodes": [
        {"index": 0, "type": "Number", "widgets_values": [1, "fixed", 7], "outputs": [{"name": "INT"}]},
        {"index": 1, "type": "Use", "widgets_values": [5], "inputs": [{"name": "image"}, {"name": "v"}], "outputs": []},
    ],
    "links": [[0, 0, 1, 1, 5, "INT"], [None, 0, 1, 0, 3, "IMAGE"]],
    "external": [],
}


def grouped(group: Any, *values: Any) -> Any:
    instance = ui_node(5, "workflow/Mine", ("image", "IMAGE", 1), values=values)
    links = [[1, 1, 0, 5, 0, "IMAGE"]]
    return ui_workflow(
        ui_node(1, "Source"), {**instance, "outputs": []}, links=links, extra={"groupNodes": {"Mine": group}}
    )


def test_a_group_node_becomes_the_nodes_inside_with_the_values_of_the_instance() -> None:
    sent = tool.convert(grouped(GROUP, 3, "randomize", 4, 9), KNOWN)
    assert {node_id: node["inputs"] for node_id, node in sent.items()} == {
        "1": {},
        "5:0": {"seed": 3, "n": 4},
        "5:1": {"image": ["1", 0], "v": ["5:0", 0]},
    }


@pytest.mark.parametrize(
    "group",
    [
        None,
        3,
        {},
        GROUP | {"nodes": [3]},
        GROUP | {"links": [[1]]},
        GROUP | {"links": [["a", 0, 1, 1]]},
        GROUP | {"nodes": []},
    ],
)
def test_a_group_node_that_cannot_be_read_is_refused_by_name(group: Any) -> None:
    with pytest.raises(tool.WorkflowRefused, match='"workflow/Mine", node 5 is a group node'):
        tool.convert(grouped(group, 3, "randomize", 4, 9), KNOWN)


def test_values_that_are_not_as_many_as_a_groups_nodes_have_are_refused() -> None:
    with pytest.raises(tool.WorkflowRefused, match="group node"):
        tool.convert(grouped(GROUP, 3, 4), KNOWN)


# --- files of older versions ---


@pytest.mark.parametrize(
    ("size", "right"),
    [
        ("Disabled", (0, 0)),
        ("512x?", (512, 0)),
        ("?x320", (0, 320)),
        ("256x256", (256, 256)),
        ("Custom Width", (64, 0)),
        ("Custom Height", (0, 48)),
        ("Custom", (64, 48)),
    ],
)
def test_a_size_that_was_chosen_by_its_name_becomes_two_numbers(size: str, right: tuple[int, int]) -> None:
    values = {"video": "a.mp4", "force_size": size, "custom_width": 64, "custom_height": 48}
    sent = {"video": "a.mp4", "custom_width": right[0], "custom_height": right[1], "start": 0}
    assert inputs_of(ui_node(5, "Loader", values=values)) == sent


def test_a_sampler_has_its_name_of_today() -> None:
    assert inputs_of(ui_node(5, "KSampler", values=["sample_euler"])) == {"sampler_name": "euler"}


def test_a_choice_that_is_not_on_offer_is_sent_where_nothing_can_shift() -> None:
    assert inputs_of(ui_node(5, "Film", values=["avi"])) == {"format": "avi", "last": 3}
    with pytest.raises(tool.WorkflowRefused, match='"format" is "avi"'):
        inputs_of(ui_node(5, "Film", values=["avi", 4, 9]))


def test_a_noted_link_counts_where_the_socket_names_a_line_that_is_not_there() -> None:
    noted = {"upstream": 1, "upstream_slot": 0, "downstream": 5, "downstream_slot": 0, "type": "IMAGE"}
    nodes = (ui_node(1, "Source"), ui_node(5, "Use", ("image", "IMAGE", 13), values=[9]))
    assert inputs_of(*nodes, extra={"ue_links": [noted]}) == {"image": ["1", 0], "v": 9}


def test_a_file_name_takes_the_value_of_a_node_that_it_calls_by_its_own_name() -> None:
    nodes = (
        ui_node(1, "Helper", values=["a/cat"], properties={"Node name for S&R": "Mine"}),
        ui_node(5, "SaveImage", values=["%Mine.text%_%KSampler.seed%"]),
    )
    assert inputs_of(*nodes) == {"filename_prefix": "a_cat_%KSampler.seed%"}

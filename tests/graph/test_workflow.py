"""Room 3: graphs, their parameters, and values made to fit."""

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support import ROOT

STEPS = tool.InputSpec("INT", 1, 10000)
CFG = tool.InputSpec("FLOAT", 0.0, 100.0, 0.1)
EIGHT = tool.InputSpec("INT", 16, 16384, 8)


def bundled(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text())


def parameters(graph: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {name: [(t.node_id, t.input) for t in targets] for name, targets in tool.discover(graph).items()}


# --- parameters ---


def test_a_checkpoint_graph_has_all_its_parameters() -> None:
    assert parameters(bundled("checkpoint")) == {
        "prompt": [("2", "text")],
        "negative_prompt": [("3", "text")],
        "model": [("1", "ckpt_name")],
        "width": [("4", "width")],
        "height": [("4", "height")],
        "batch_size": [("4", "batch_size")],
        "seed": [("5", "seed")],
        "steps": [("5", "steps")],
        "guidance": [("5", "cfg")],
        "sampler": [("5", "sampler_name")],
        "scheduler": [("5", "scheduler")],
        "denoise": [("5", "denoise")],
    }


def test_with_a_guidance_node_cfg_is_left_alone() -> None:
    assert parameters(bundled("flux"))["guidance"] == [("5", "guidance")]


@pytest.mark.parametrize("name", ["flux", "z-image-turbo"])
def test_a_zeroed_negative_is_no_negative_prompt(name: str) -> None:
    assert "negative_prompt" not in parameters(bundled(name))


def test_one_text_that_feeds_both_sides_is_the_prompt_only() -> None:
    graph = bundled("checkpoint")
    graph["5"]["inputs"]["negative"] = ["2", 0]
    found = parameters(graph)
    assert (found["prompt"], "negative_prompt" in found) == ([("2", "text")], False)


def test_the_two_sides_of_a_controlnet_are_kept_apart() -> None:
    graph = bundled("checkpoint")
    graph["9"] = {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["2", 0], "negative": ["3", 0]}}
    graph["5"]["inputs"] |= {"positive": ["9", 0], "negative": ["9", 1]}
    found = parameters(graph)
    assert (found["prompt"], found["negative_prompt"]) == ([("2", "text")], [("3", "text")])


def test_a_widget_that_is_linked_is_no_parameter() -> None:
    graph = bundled("checkpoint")
    graph["5"]["inputs"]["seed"] = ["77", 0]
    assert "seed" not in parameters(graph)


def test_a_cycle_does_not_hang() -> None:
    graph = bundled("checkpoint")
    graph["2"]["inputs"]["clip"] = ["5", 0]
    assert parameters(graph)["prompt"] == [("2", "text")]


def test_binding_changes_a_copy() -> None:
    graph = bundled("checkpoint")
    before = copy.deepcopy(graph)
    workflow = tool.Workflow.parse("x", graph)
    bound = workflow.bind({"prompt": "a fox", "seed": 3})
    assert (bound.value("prompt"), bound.value("seed"), bound.value("nothing")) == ("a fox", 3, None)
    assert graph == before


@pytest.mark.parametrize("graph", [None, {}, [], {"nodes": [], "links": []}, {"1": {"inputs": {}}}, {"1": 5}])
def test_what_is_no_graph_is_refused(graph: Any) -> None:
    with pytest.raises(tool.WorkflowRefused, match=r"API format|no nodes"):
        tool.Workflow.parse("x", graph)


# --- definitions ---


@pytest.mark.parametrize("shape", [[["a", "b"], {"default": "a"}], ["COMBO", {"options": ["a", "b"]}], [["a", "b"]]])
def test_both_shapes_of_a_choice_are_read(shape: list[Any]) -> None:
    definition = tool.NodeDefinition.parse("X", {"input": {"required": {"pick": shape}}})
    assert definition.inputs["pick"] == tool.InputSpec("COMBO", choices=("a", "b"), default="a")


def test_ranges_are_read_and_hidden_inputs_are_not() -> None:
    raw = {
        "input": {
            "required": {"steps": ["INT", {"min": 1, "max": 9, "step": 2}], "model": ["MODEL"]},
            "optional": {"odd": "?"},
            "hidden": {"prompt": "PROMPT"},
        }
    }
    assert dict(tool.NodeDefinition.parse("X", raw).inputs) == {
        "steps": tool.InputSpec("INT", 1, 9, 2),
        "model": tool.InputSpec("MODEL"),
    }


# --- names ---

NAMES = ("sd_xl_base_1.0.safetensors", "flux\\Flux1-Dev.safetensors", "sub/dream_8.ckpt", "tiny.safetensors")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("tiny.safetensors", "tiny.safetensors"),
        ("TINY", "tiny.safetensors"),
        ("flux/flux1-dev.safetensors", "flux\\Flux1-Dev.safetensors"),
        ("flux1-dev", "flux\\Flux1-Dev.safetensors"),
        ("dream 8", "sub/dream_8.ckpt"),
        ("SD XL base 1.0", "sd_xl_base_1.0.safetensors"),
        ("模型v1", None),
        ("dream", None),
        ("", None),
        ("!!!", None),
    ],
)
def test_a_model_is_found_whatever_its_case_folder_slash_or_extension(wanted: str, expected: str | None) -> None:
    assert tool.find_name(wanted, NAMES) == expected


def test_an_exact_name_wins_over_one_that_is_only_alike() -> None:
    assert tool.find_name("b/x.ckpt", ["a/x.ckpt", "b/x.ckpt"]) == "b/x.ckpt"


def test_the_closest_names_come_first() -> None:
    assert tool.closest("sdxl base", NAMES, 1) == ["sd_xl_base_1.0.safetensors"]


# --- numbers ---


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (20, STEPS, 20),
        ("20", STEPS, 20),
        (" 20.0 ", STEPS, 20),
        (19.6, STEPS, 20),
        (0, STEPS, 1),
        (99999, STEPS, 10000),
        ("7,5", CFG, 7.5),
        (-3, CFG, 0.0),
    ],
)
def test_numbers_are_made_to_fit(value: Any, spec: tool.InputSpec, expected: float) -> None:
    fitted, note = tool.fit_number(tool.Wanted(value, "steps"), spec)
    assert (fitted, type(fitted)) == (expected, type(expected))
    assert bool(note) == (str(value).strip() not in {"20", "20.0", "7,5"})


def test_a_large_seed_stays_exact() -> None:
    seed = 2**64 - 1
    assert tool.fit_number(tool.Wanted(str(seed), "seed"), tool.InputSpec("INT", 0, seed)) == (seed, "")


@pytest.mark.parametrize(
    "value", ["many", "", True, None, [20], {"a": 1}, "nan", math.inf, "1e999", "9" * 400, "2 0", "1,000"]
)
def test_what_is_no_number_is_refused_naming_it_and_the_range(value: Any) -> None:
    with pytest.raises(tool.BadArgument) as error:
        tool.fit_number(tool.Wanted(value, "The argument steps"), STEPS)
    assert "The argument steps" in error.value.message
    assert "1 to 10000" in error.value.hint


@given(
    st.one_of(
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.from_regex(r"-?[0-9]{1,30}([.][0-9]+)?", fullmatch=True),
    )
)
def test_a_number_always_ends_in_the_nodes_range(value: Any) -> None:
    for spec in (STEPS, CFG):
        fitted, _ = tool.fit_number(tool.Wanted(value, "x"), spec)
        assert spec.minimum <= fitted <= spec.maximum


# --- sizes ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "1024x1024"),
        ("auto", "1024x1024"),
        ("16:9", "1344x768"),
        ("9/16", "768x1344"),
        ("2.35:1", "1600x640"),
        ("portrait", "832x1280"),
        ("16x9", "1344x768"),
        ("1x1", "1024x1024"),
        ("1216x832", "1216x832"),
        ("1216 × 832", "1216x832"),
        ("640 by 480 px", "640x480"),
        ("768", "768x768"),
        (768, "768x768"),
    ],
)
def test_sizes_are_understood(text: Any, expected: str) -> None:
    asked = tool.read_size(tool.Wanted(text, "size") if text else None)
    assert str(tool.fit_size(asked, 1.05, EIGHT, EIGHT)) == expected


def test_pixels_are_taken_to_the_nodes_step_and_range() -> None:
    assert str(tool.fit_size(tool.Size(1001, 4), 1.0, EIGHT, EIGHT)) == "1000x16"


@pytest.mark.parametrize("text", ["big", "12:", "0:5", "0x0", "0", "1", "1:100", "x512", "-5x5", "[512, 512]"])
def test_what_is_no_size_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(tool.BadArgument) as error:
        tool.read_size(tool.Wanted(text, "The argument size"))
    assert text in error.value.message
    assert ":" in error.value.hint


@given(st.floats(0.126, 7.9), st.floats(0.07, 16))
def test_an_aspect_ratio_keeps_to_the_megapixels(ratio: float, megapixels: float) -> None:
    size = tool.fit_size(tool.read_size(tool.Wanted(f"{ratio:.4f}:1", "size")), megapixels, EIGHT, EIGHT)
    assert size.width % 64 == 0
    assert size.height % 64 == 0
    assert 0.4 * megapixels <= size.megapixels <= 1.8 * megapixels


# --- file names ---


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red fox", "a-red-fox-7"),
        ("../../etc/passwd\x00 <b>", "etc-passwd-b-7"),
        ("🦊🦊", "picture-7"),
        ("маяк на закате", "маяк-на-закате-7"),
        ("灯台", "灯台-7"),
        ("word " * 4000, "word-word-word-word-word-word-word-word-word-wor-7"),
    ],
)
def test_files_get_telling_and_harmless_names(prompt: str, expected: str) -> None:
    assert tool.file_stem(prompt, 7) == expected


@given(st.text())
def test_any_prompt_gives_a_file_name_that_every_system_takes(prompt: str) -> None:
    stem = tool.file_stem(prompt, 1)
    assert stem
    assert len(stem.encode()) <= 220
    assert not set(stem) & set('/\\:*?"<>|\0\n')
    assert not stem.startswith((".", "-"))

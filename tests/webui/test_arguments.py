"""What a call says by its arguments: what is left out although it was filled in, and what is noted."""

from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

import comfyui_tool as tool

NOTHING: dict[str, Any] = {}


def said(**arguments: Any) -> dict[str, Any]:
    return {name: argument.value for name, argument in tool.read_arguments(arguments).values.items()}


def said_inputs(inputs: Any) -> dict[str, Any]:
    return {name: argument.value for name, argument in tool.read_inputs(inputs).values.items()}


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ({"steps": 20, "count": "2", "guidance": 3.5}, {"steps": 20, "count": "2", "guidance": 3.5}),
        ({"steps": 0, "count": 0, "guidance": 0, "scale": 0}, NOTHING),
        ({"steps": -1, "count": "-1", "guidance": "0.0", "scale": "0x"}, NOTHING),
        ({"steps": "", "count": None, "guidance": "default", "size": "auto", "loras": []}, NOTHING),
        ({"steps": "undefined", "model": "N/A", "workflow": "not specified", "count": False}, NOTHING),
        ({"seed": 0}, {"seed": 0}),
        ({"seed": 0, "steps": 20}, {"seed": 0, "steps": 20}),
        ({"seed": 0, "steps": 0}, NOTHING),
        ({"seed": "0", "guidance": "0", "count": 2}, {"count": 2}),
        ({"seed": -1}, NOTHING),
        ({"seed": "random"}, NOTHING),
        ({"seed": ""}, NOTHING),
        ({"strength": "50 %"}, {"strength": 0.5}),
        ({"strength": "low"}, {"strength": 0.3}),
        ({"strength": 70}, {"strength": 0.7}),
        ({"negative_prompt": "none"}, NOTHING),
        ({"negative_prompt": "None of it"}, {"negative_prompt": "None of it"}),
        ({"size": "original"}, NOTHING),
        ({"size": "same size"}, NOTHING),
        ({"size": "same 16:9"}, {"size": "same 16:9"}),
        ({"model": ["SDXL"]}, {"model": "SDXL"}),
        ({"workflow": '{"name": "portrait"}'}, {"workflow": "portrait"}),
        ({"negative_prompt": ""}, NOTHING),
        ({"size": 0}, NOTHING),
        ({"size": "0x0"}, NOTHING),
        ({"size": "-1"}, NOTHING),
        ({"size": "same as image 1"}, NOTHING),
        ({"model": "best", "workflow": "any", "negative_prompt": "-", "guidance": "?"}, NOTHING),
    ],
)
def test_what_stands_for_nothing_is_left_out(arguments: dict[str, Any], meant: dict[str, Any]) -> None:
    assert said(**arguments) == meant


def test_a_strength_of_0_is_not_given_and_that_is_noted() -> None:
    read = tool.read_arguments({"strength": 0})
    assert (read.values, read.notes) == ({}, ("strength 0 was taken for not given",))
    assert tool.read_inputs({"denoise": 0.0}).notes == ("denoise 0.0 was taken for not given",)


@pytest.mark.parametrize(
    ("inputs", "meant"),
    [
        (None, NOTHING),
        ("", NOTHING),
        ("none", NOTHING),
        ({"steps": 8, "seed": -1}, {"steps": 8}),
        ('{"steps": 8, "seed": -1}', {"steps": 8}),
        ("{'steps': 8}", {"steps": 8}),
        ({"prompt": "", "lyrics": None, "negative_prompt": "none"}, NOTHING),
        ({"cfg": 0, "noise_seed": 0, "duration": -1}, NOTHING),
        ({"KSampler.cfg": 0}, {"KSampler.cfg": 0}),
        ({"style": "none"}, {"style": "none"}),
        ({"switch": False}, {"switch": False}),
    ],
)
def test_inputs_are_an_object_and_what_stands_for_nothing_in_it_is_left_out(inputs: Any, meant: dict[str, Any]) -> None:
    assert said_inputs(inputs) == meant


TWO = {"steps": 8, "cfg": 3}


@pytest.mark.parametrize(
    "inputs",
    [
        TWO,
        '{"steps": 8, "cfg": 3}',
        {"inputs": TWO},
        {"inputs": '{"steps": 8, "cfg": 3}'},
        {"parameters": {"steps": 8}, "cfg": 3},
        [{"name": "steps", "value": 8}, {"key": "cfg", "value": 3}],
        [["steps", 8], ["cfg", 3]],
        [{"steps": 8}, {"cfg": 3}],
        '[{"name": "steps", "value": 8}, {"name": "cfg", "value": 3}]',
        {"inputs": [{"name": "steps", "value": 8}], "cfg": 3},
    ],
    ids=str,
)
def test_inputs_come_in_any_shape(inputs: Any) -> None:
    assert said_inputs(inputs) == TWO


@pytest.mark.parametrize("inputs", ["steps: 8, cfg: 3", "steps=8; cfg=3", "steps: 8\ncfg: 3", ["steps=8", "cfg=3"]])
def test_inputs_may_stand_in_a_text(inputs: Any) -> None:
    assert said_inputs(inputs) == {"steps": "8", "cfg": "3"}
    assert said_inputs("prompt: a fox, in snow, steps: 8") == {"prompt": "a fox, in snow", "steps": "8"}


@pytest.mark.parametrize("lyrics", [["Rain", "and sun"], '["Rain", "and sun"]', "Rain\nand sun"])
def test_lyrics_keep_their_lines(lyrics: Any) -> None:
    assert said_inputs({"lyrics": lyrics}) == {"lyrics": "Rain\nand sun"}
    assert said_inputs({"lyrics": {"verse": "Rain", "chorus": ["la", "la"]}}) == {
        "lyrics": "[verse]\nRain\n[chorus]\nla\nla"
    }


def test_the_argument_prompt_is_followed_before_an_input_of_that_name() -> None:
    read = tool.read_inputs({"positive_prompt": "an owl", "steps": 8}, "a fox --ar 2:1")
    assert {name: wanted.value for name, wanted in read.values.items()} == {
        "prompt": "a fox",
        "steps": 8,
        "size": "2:1",
    }
    assert "the argument prompt was followed, and the input positive_prompt left out" in read.notes
    assert tool.read_inputs({"prompt": "a fox"}, "a fox").notes == ()
    assert tool.read_inputs({"prompt": "an owl"}, "").values["prompt"].value == "an owl"


@pytest.mark.parametrize(
    ("images", "inputs", "given", "left"),
    [
        (["1"], {"steps": 8}, ["1"], {"steps": 8}),
        (None, {"image": "1", "steps": 8}, ["1"], {"steps": 8}),
        (None, {"Input Image": ["1", "2"], "mask": "3"}, [["1", "2"], "3"], {}),
        ("", {"init_image": {"id": "x"}}, [{"id": "x"}], {}),
        (None, {"reference_images": ["1"]}, [["1"]], {}),
        (["1"], {"image": "2"}, ["1"], {"image": "2"}),
        (None, {"mask": "2"}, None, {"mask": "2"}),
    ],
)
def test_pictures_among_the_inputs_are_pictures(images: Any, inputs: dict[str, Any], given: Any, left: Any) -> None:
    assert tool.pictures_among(images, inputs) == (given, left)


@pytest.mark.parametrize("inputs", ["a fox", 7, [1, 2], "[1, 2]"])
def test_inputs_of_another_shape_are_refused(inputs: Any) -> None:
    with pytest.raises(tool.BadArgument, match="The argument inputs is"):
        tool.read_inputs(inputs)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["prompt", "seed", "steps", "cfg", "strength", "size", "count", "loras", "x.y", ""])


@for_any(st.dictionaries(NAMES, JSON), JSON)
def test_any_value_is_taken_or_refused(arguments: dict[str, Any], inputs: Any) -> None:
    assert tool.read_arguments(arguments).values.keys() <= arguments.keys()
    assert tool.read_inputs(arguments).values.keys() <= arguments.keys()
    try:
        tool.read_inputs(inputs)
    except tool.BadArgument as refused:
        assert refused.hint


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ('["{\\"steps\\": 8}"]', {"steps": 8}),
        (['{"steps": 8}', '{"cfg": 3}'], {"steps": 8, "cfg": 3}),
        ({"prompt": '["a fox", "red"]'}, {"prompt": ["a fox", "red"]}),
        ({"negative_prompt": '["blurry", "text"]'}, {"negative_prompt": ["blurry", "text"]}),
        ({"tags": '["a", "b"]'}, {"tags": '["a", "b"]'}),
    ],
)
def test_json_in_a_text_is_read_where_a_list_of_inputs_or_of_words_is_meant(inputs: Any, said: Any) -> None:
    assert said_inputs(inputs) == said


def test_a_prompt_that_is_a_list_written_as_json_is_its_texts() -> None:
    assert tool.read_prompt('["a fox", "red"]') == "a fox, red"
    assert tool.several_prompts_note('["a fox", "red"]')
    assert tool.read_prompt('["a fox"]') == "a fox"
    assert tool.read_prompt('{"scene": "a fox"}') == '{"scene": "a fox"}'
    assert tool.read_prompt("[a fox:0.5]") == "[a fox:0.5]"
    assert tool.words_of('["loras"]', "kind") == "loras"

"""How a wish becomes a plan: the values that go into the workflow, made to fit its nodes, and the limits that they keep
to."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support.graphs import bundled, defined, node, text_to_image
from tests.support.runs import settings
from tests.support.stand_in import DEFAULT_MODELS, StandIn

CHECKPOINTS = {"checkpoints": DEFAULT_MODELS["checkpoints"]}
NOW = datetime(2026, 11, 22, 13, 5, 9)

pytestmark = pytest.mark.usefixtures("closed_servers")


async def plan(
    limits: tool.Limits | None = None, models: Any = CHECKPOINTS, prompt: str = "x", **values: Any
) -> tool.BoundPrompts:
    """What a call of generate_image with these arguments comes to, on a server with these models."""
    asked = settings().request(prompt, **values)
    async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        choice = await tool.choose(server, asked)
        return tool.prepare(choice, asked, limits or tool.Limits(), 4711, NOW)


async def test_a_plain_wish_gets_the_familys_size_and_a_random_seed() -> None:
    planned = await plan()
    (workflow,) = planned.workflows
    assert (workflow.value("width"), workflow.value("height"), workflow.value("batch_size")) == (1024, 1024, 1)
    assert (planned.seed, workflow.value("seed"), planned.notes) == (4711, 4711, ())


async def test_the_prompt_goes_in_as_it_is() -> None:
    text = '<b>"x"</b> {a|b} // no comment 🦊' + " y" * 5000
    assert (await plan(prompt=text)).workflows[0].value("prompt") == text


async def test_values_out_of_a_nodes_range_are_clamped_and_told() -> None:
    planned = await plan(guidance=900, size="1001x600")
    assert planned.workflows[0].value("guidance") == 100.0
    assert any("guidance" in note for note in planned.notes)
    assert any("1000x600" in note for note in planned.notes)


@pytest.mark.parametrize(
    ("values", "number"),
    [({"count": 5}, "4"), ({"steps": 101}, "100"), ({"size": "4096x4096"}, "4.2"), ({"count": 10**9}, "4")],
)
async def test_a_limit_refuses_with_its_number(values: dict[str, Any], number: str) -> None:
    with pytest.raises(tool.LimitExceeded) as error:
        await plan(**values)
    assert number in error.value.message
    assert next(iter(values)) in error.value.message


async def test_all_limits_are_told_at_once() -> None:
    with pytest.raises(tool.LimitExceeded) as error:
        await plan(size="8192x8192", steps=500, count=50)
    assert error.value.hint == (
        "Ask for at most 4.2 megapixels. Ask for at most 100 steps. Ask for at most 4 pictures in one call."
    )
    assert [value in error.value.message for value in ("8192x8192", "500", "50")] == [True] * 3


def test_all_limits_that_a_graph_exceeds_are_told_at_once() -> None:
    latent = node("EmptyLatentImage", width=8192, height=512, batch_size=900)
    workflow = tool.Workflow.parse("x", text_to_image(latent=latent), defined())
    with pytest.raises(tool.LimitExceeded, match=r"megapixels.*900 as batch_size"):
        tool.check_limits(workflow, tool.Limits(megapixels=4), set(), {"image"})


async def test_what_nobody_asked_for_keeps_to_the_limits_by_itself() -> None:
    planned = await plan(tool.Limits(steps=10, megapixels=0.3))
    workflow = planned.workflows[0]
    assert workflow.value("steps") == 10
    assert workflow.value("width") * workflow.value("height") <= 0.35e6


@pytest.mark.parametrize("size", [None, "1:1", "16:9", "3:2"])
@pytest.mark.parametrize("megapixels", [0.07, 0.5, 1.0, 1.05])
async def test_an_aspect_ratio_is_never_over_the_limit(size: str | None, megapixels: float) -> None:
    workflow = (await plan(tool.Limits(megapixels=megapixels), size=size)).workflows[0]
    assert workflow.value("width") * workflow.value("height") <= megapixels * 1e6


@pytest.mark.parametrize(
    ("size", "worked_in"),
    [
        ("landscape", (1280, 832)),
        ("2 megapixels", (1408, 1408)),
        ("16:9 2MP", (1856, 1088)),
        ("720p", (1280, 720)),
        ({"width": 768, "height": 512}, (768, 512)),
        ("Hochformat", (832, 1280)),
    ],
)
async def test_a_size_in_words_becomes_one_that_the_model_makes_well(size: Any, worked_in: tuple[int, int]) -> None:
    workflow = (await plan(size=size)).workflows[0]
    assert (workflow.value("width"), workflow.value("height")) == worked_in


async def test_a_screen_is_as_many_pixels_in_the_proportions_of_the_picture() -> None:
    assert tool.followed(tool.Size(500, 500), 1280 * 720 / 1e6, 4.2, exactly=True) == tool.Size(960, 960)


def test_a_size_is_chosen_where_a_node_offers_proportions_and_no_pixels() -> None:
    widgets = {"prompt": ["STRING", {}], "aspect_ratio": [["1:1", "16:9", "9:16"]], "seed": ["INT", {}]}
    graph = {
        "1": {"class_type": "Painter", "inputs": {"prompt": "x", "aspect_ratio": "1:1", "seed": 1}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    definitions = defined(Painter={"input": {"required": widgets}, "output": ["IMAGE"]})
    choice = tool.FittedWorkflow(tool.Workflow.parse("api", graph, definitions), tool.AS_SAVED, "")
    for size, chosen, note in (
        ("16:9", "16:9", ()),
        ("tall", "9:16", ()),
        ("portrait", "9:16", ('size portrait was changed to "9:16", the nearest that the workflow "api" has',)),
        ("512x512", "1:1", ('size 512x512 was changed to "1:1", the nearest that the workflow "api" has',)),
    ):
        bound = tool.prepare(choice, settings().request("x", size=size), tool.Limits(), 1, NOW)
        assert (bound.workflows[0].value("aspect_ratio"), bound.used["size"]) == (chosen, chosen)
        assert bound.notes == note
        named = tool.prepare(choice, settings().order("api", {"aspect_ratio": size}), tool.Limits(), 1, NOW)
        assert (named.workflows[0].value("aspect_ratio"), named.notes) == (chosen, note)
    with pytest.raises(tool.LimitExceeded):
        tool.prepare(choice, settings().request("x", size="4k"), tool.Limits(megapixels=4), 1, NOW)
    with pytest.raises(tool.ValueOutOfRange, match="cubic"):
        tool.prepare(choice, settings().order("api", {"aspect_ratio": "cubic"}), tool.Limits(), 1, NOW)


async def test_a_list_of_texts_is_one_negative_prompt_and_anything_else_is_refused() -> None:
    assert (await plan(negative_prompt=["blurry", "dark"])).workflows[0].value("negative_prompt") == "blurry, dark"
    with pytest.raises(tool.BadArgument, match="negative_prompt"):
        await plan(negative_prompt={"a": 1})


async def test_a_negative_prompt_of_a_valve_is_told_where_it_was_used() -> None:
    asked = tool.resolve(tool.Valves(negative_prompt="blurry"), None).request("x")
    async with StandIn(models=CHECKPOINTS) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        planned = tool.prepare(await tool.choose(server, asked), asked, tool.Limits(), 1, NOW)
    assert planned.workflows[0].value("negative_prompt") == "blurry"
    assert planned.notes == ('the administrator\'s valve "Negative prompt" was used: "blurry"',)


async def test_a_negative_prompt_that_the_workflow_does_not_take_is_told_only_when_the_call_gave_it() -> None:
    assert (await plan(models=DEFAULT_MODELS, negative_prompt="blurry")).notes
    asked = tool.resolve(tool.Valves(negative_prompt="blurry"), None).request("x")
    async with StandIn() as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        choice = await tool.choose(server, asked)
        assert not tool.prepare(choice, asked, tool.Limits(), 1, NOW).notes


@pytest.mark.parametrize("name", ["steps", "seed", "guidance", "count", "size"])
async def test_an_argument_that_cannot_be_understood_is_named(name: str) -> None:
    with pytest.raises(tool.BadArgument, match=f"The argument {name}"):
        await plan(**{name: "plenty"})


def test_the_longest_video_refuses_with_both_numbers() -> None:
    graph = {
        "1": {"class_type": "EmptyHunyuanLatentVideo", "inputs": {"width": 64, "height": 64, "length": 3001}},
        "2": {"class_type": "SaveWEBM", "inputs": {"images": ["1", 0], "fps": 30.0}},
    }
    with pytest.raises(tool.LimitExceeded, match=r"100.*30|30.*100"):
        tool.check_limits(tool.Workflow.parse("x", graph), tool.Limits(), set(), {"video"})
    tool.check_limits(tool.Workflow.parse("x", graph), tool.Limits(video_seconds=101), set(), {"video"})


FILM = {"save": node("SaveAnimatedWEBP", images=("cut", 0), fps=24.0)}
CUT = node("ImageFromBatch", image=("decode", 0), batch_index=0, length=4096)
REPEATED = node("RepeatImageBatch", image=("decode", 0), amount=81)
LAST = node("SaveImage", images=("decode", 0), filename_prefix="last")
SOUND = {"sound": node("EmptyAudio", duration=60, sample_rate=44100), "keep": node("SaveAudio", audio=("sound", 0))}


@pytest.mark.parametrize("nodes", [{"cut": CUT}, {"cut": REPEATED, "last": LAST}, {"cut": CUT} | SOUND])
def test_what_is_cut_out_of_a_film_its_frames_and_its_sound_are_within_the_limits(nodes: dict[str, Any]) -> None:
    workflow = tool.Workflow.parse("x", text_to_image(**FILM | nodes), defined())
    tool.check_limits(workflow, tool.Limits(), set(), {"video", "image"})


def test_a_batch_counts_as_frames_of_the_film_that_it_becomes_and_else_as_pictures() -> None:
    latent = node("EmptyLatentImage", width=512, height=512, batch_size=900)
    film = text_to_image(**FILM, cut=CUT, latent=latent)
    with pytest.raises(tool.LimitExceeded, match=r"37\.5 seconds"):
        tool.check_limits(tool.Workflow.parse("x", film, defined()), tool.Limits(), set(), {"animation"})
    with pytest.raises(tool.LimitExceeded, match="900 as batch_size"):
        pictures = tool.Workflow.parse("x", text_to_image(latent=latent), defined())
        tool.check_limits(pictures, tool.Limits(), set(), {"image"})


# --- in which size a picture is worked on ---


@pytest.mark.parametrize(
    ("picture", "megapixels", "most", "worked_in"),
    [
        ((1024, 1024), 1.05, 4.2, (1024, 1024)),
        ((1216, 832), 1.05, 4.2, (1216, 832)),
        ((512, 512), 1.05, 4.2, (512, 512)),
        ((640, 480), 1.05, 4.2, (640, 480)),
        ((1000, 750), 1.05, 4.2, (992, 752)),
        ((1920, 1080), 1.05, 4.2, (1360, 768)),
        ((4032, 3024), 1.05, 4.2, (1184, 880)),
        ((256, 256), 1.05, 4.2, (1024, 1024)),
        ((512, 512), 0.26, 4.2, (512, 512)),
        ((1024, 1024), 1.05, 0.5, (704, 704)),
        ((4000, 20), 1.05, 4.2, (14496, 80)),
    ],
)
def test_a_picture_keeps_its_size_where_the_model_can_and_its_proportions_elsewhere(
    picture: tuple[int, int], megapixels: float, most: float, worked_in: tuple[int, int]
) -> None:
    fitted = tool.followed(tool.Size(*picture), megapixels, most)
    assert (fitted.width, fitted.height) == worked_in
    assert fitted.megapixels <= most


@pytest.mark.parametrize(("picture", "most"), [((2159, 859), 1.05), ((6961, 7793), 1.05), ((1000, 1048), 1.05)])
def test_a_followed_size_is_never_rounded_above_what_is_allowed(picture: tuple[int, int], most: float) -> None:
    assert tool.followed(tool.Size(*picture), 1.05, most).megapixels <= most


# --- how long a video or a sound is ---

VIDEO, SOUND, STILL = "wan-text-to-video", "ace-step", "checkpoint"  # in frames, in seconds, and neither
FRAMES_NOTE = "length is in frames: 9 are 0.56 s at 16 frames a second; seconds gives the time"


def in_its_unit(name: str, **inputs: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    workflow = tool.Workflow.parse(name, bundled(name), defined())
    found = tool.timed(workflow, {name: tool.Argument(value, name) for name, value in inputs.items()})
    return {name: wanted.value for name, wanted in found.inputs.items()}, found.notes


@pytest.mark.parametrize(
    ("workflow", "inputs", "values", "notes"),
    [
        (VIDEO, {"seconds": 3}, {"length": 49}, ()),
        (VIDEO, {"duration": "3 seconds"}, {"length": 49}, ()),
        (VIDEO, {"seconds": 2, "fps": 24}, {"length": 49, "fps": 24}, ()),
        (VIDEO, {"length": "3 s"}, {"length": 49}, ()),
        (VIDEO, {"length": 9}, {"length": 9}, (FRAMES_NOTE,)),
        (VIDEO, {"num_frames": 9}, {"length": 9}, (FRAMES_NOTE,)),
        (VIDEO, {"seconds": 3, "length": 9}, {"length": 49}, ("seconds was followed, and length left out",)),
        (
            VIDEO,
            {"seconds": 2000},
            {"length": 16381},
            ("2000 seconds are too long: it makes at most 16381 frames, 1024 s",),
        ),
        (SOUND, {"seconds": "1 minute", "steps": 4}, {"seconds": 60, "steps": 4}, ()),
        (SOUND, {"duration": 30}, {"seconds": 30}, ()),
        (SOUND, {"length": 30}, {"seconds": 30}, ("length was taken for seconds",)),
        (
            SOUND,
            {"fps": 24, "seconds": 30},
            {"seconds": 30},
            ('the workflow "ace-step" has no rate (fps) of its own; it was left out',),
        ),
        (STILL, {"seconds": 3}, {"seconds": 3}, ()),
    ],
    ids=str,
)
def test_a_time_is_given_in_seconds_whatever_the_workflow_counts(
    workflow: str, inputs: dict[str, Any], values: dict[str, Any], notes: tuple[str, ...]
) -> None:
    assert in_its_unit(workflow, **inputs) == (values, notes)


def test_of_several_lengths_on_offer_the_nearest_is_taken() -> None:
    spec = tool.InputSpec("COMBO", choices=("5", "10"))
    assert tool._of_choices(5, spec) == ("5", "")
    assert tool._of_choices(8, spec) == ("10", "8 seconds were changed to 10, which there is")


def test_a_time_that_cannot_be_understood_is_refused() -> None:
    with pytest.raises(tool.BadArgument, match="which is no number of seconds"):
        in_its_unit(VIDEO, seconds="long")


# --- whatever a call says ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
SAID = JSON | st.sampled_from(
    ["two", "50 %", "16:9", "720p", "5 s", "last", "random", "a:0.5", "<lora:a:1> --ar 2:1", 0, -1]
)
NAMES = st.sampled_from(
    [
        "prompt",
        "text",
        "seed",
        "steps",
        "cfg",
        "size",
        "count",
        "n",
        "loras",
        "lora",
        "strength",
        "scale",
        "seconds",
        "duration",
        "length",
        "fps",
        "width",
        "height",
        "style",
        "sampler",
        "model",
        "KSampler",
        "KSampler.cfg",
        "3",
        "inputs",
        "image",
        "x",
    ]
)
WORKFLOWS = [
    tool.FittedWorkflow(tool.Workflow.parse(name, bundled(name), defined()), tool.AS_SAVED, "m")
    for name in ("checkpoint", "wan-text-to-video", "ace-step")
]


@given(
    st.dictionaries(NAMES, SAID, max_size=4) | SAID,
    st.dictionaries(st.sampled_from(["size", "count", "seed", "steps", "guidance", "strength", "loras"]), SAID),
    SAID,
    st.sampled_from(WORKFLOWS),
)
def test_any_call_comes_to_prompts_within_the_ranges_or_to_an_error_of_ours(
    inputs: Any, arguments: dict[str, Any], prompt: Any, choice: tool.FittedWorkflow
) -> None:
    for make_request in (
        lambda: settings().order("x", inputs, (), None, prompt),
        lambda: settings().request(prompt, **arguments),
        lambda: settings().edit(prompt, [], None, **arguments),
    ):
        try:
            bound = tool.prepare(choice, make_request(), tool.Limits(), 4711, NOW)
        except tool.ComfyUIError as refused:
            assert refused.message
            continue
        assert all(isinstance(note, str) and note for note in bound.notes)
        for workflow in bound.workflows:
            assert not isinstance(workflow.value("steps"), str)
            assert 1 <= workflow.value("steps") <= 100


async def test_a_prompt_is_sent_in_whole_characters() -> None:
    prompts = await plan(prompt="a fox \ud83e\udd8a in the snow \ud83c", negative_prompt="\udf28 rain")
    texts = [node["inputs"]["text"] for node in prompts.workflows[0].graph.values() if "text" in node["inputs"]]
    assert texts == ["a fox 🦊 in the snow ", " rain"]

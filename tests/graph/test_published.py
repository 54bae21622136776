"""Workflows as people publish them, beside ComfyUI's own templates: with custom nodes, with marks of other programs,
and as JSON that was written by hand."""

import copy
import json
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.conversion import parsed
from tests.support.graphs import defined, graph, ui_node, ui_workflow

Nodes = dict[str, Any]
KNOWN = defined()

SAMPLING = {
    "steps": 20,
    "cfg": 7,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 1,
    "positive": "positive.0",
    "negative": "negative.0",
    "latent_image": "size.0",
}


def published(**over: tuple[Any, ...]) -> Nodes:
    """Text to image in the API format; `over` puts other nodes in their places."""
    nodes: dict[str, tuple[Any, ...]] = {
        "loader": ("CheckpointLoaderSimple", {"ckpt_name": "a.safetensors"}),
        "size": ("EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 1}),
        "positive": ("CLIPTextEncode", {"text": "a cat", "clip": "loader.1"}),
        "negative": ("CLIPTextEncode", {"text": "bad", "clip": "loader.1"}),
        "sampler": ("KSampler", {**SAMPLING, "model": "loader.0", "seed": 5}),
        "decode": ("VAEDecode", {"samples": "sampler.0", "vae": "loader.2"}),
        "save": ("SaveImage", {"images": "decode.0", "filename_prefix": "x"}),
    }
    return graph(**(nodes | over))


def places(nodes: Nodes, *names: str) -> dict[str, str]:
    """Where parameters are set, as "node.input", with their placeholders."""
    parameters = tool.discover(tool.Flow.of(nodes, KNOWN))
    return {
        name: " ".join(f"{at.node_id}.{at.input}{at.token}" for at in parameters[name])
        for name in names
        if name in parameters
    }


# --- custom nodes ---


@pytest.mark.parametrize("side", ["positive", "negative"])
def test_a_styler_keeps_the_two_sides_apart(side: str) -> None:
    other = "negative" if side == "positive" else "positive"
    nodes = published(
        positive=("CLIPTextEncode", {"text": "styler.0", "clip": "loader.1"}),
        negative=("CLIPTextEncode", {"text": "styler.1", "clip": "loader.1"}),
        styler=("SDXLPromptStyler", {f"text_{side}": "typed", f"text_{other}": "words.0", "style": "base"}),
        words=("PrimitiveStringMultiline", {"value": "linked"}),
    )
    name = {"positive": "prompt", "negative": "negative_prompt"}
    assert places(nodes, "prompt", "negative_prompt") == {name[side]: f"styler.text_{side}", name[other]: "words.value"}


def test_boxes_on_top_of_a_text_are_not_the_prompt() -> None:
    box = {"width": 64, "height": 64, "x": 0, "y": 0, "clip": "loader.1"}
    nodes = published(
        first=("GLIGENTextBoxApply", {"text": "bottle", "conditioning_to": "positive.0", **box}),
        second=("GLIGENTextBoxApply", {"text": "sun", "conditioning_to": "first.0", **box}),
        sampler=("KSampler", {**SAMPLING, "model": "loader.0", "seed": 5, "positive": "second.0"}),
    )
    assert places(nodes, "prompt", "width") == {"prompt": "positive.text", "width": "size.width"}


def test_a_sampler_of_a_custom_package_is_known_by_what_it_takes() -> None:
    nodes = published(
        loader=("UNETLoader", {"unet_name": "flux1-dev.safetensors"}),
        sampler=(
            "XlabsSampler",
            {
                "noise_seed": 5,
                "steps": 25,
                "true_gs": 3.5,
                "model": "loader.0",
                "conditioning": "positive.0",
                "neg_conditioning": "negative.0",
                "latent_image": "size.0",
            },
        ),
    )
    assert places(nodes, "prompt", "negative_prompt", "seed", "steps", "guidance", "width") == {
        "prompt": "positive.text",
        "negative_prompt": "negative.text",
        "seed": "sampler.noise_seed",
        "steps": "sampler.steps",
        "guidance": "sampler.true_gs",
        "width": "size.width",
    }


def test_a_video_of_a_picture_that_was_made_of_words_takes_those_words() -> None:
    nodes = published(
        video=("ImageOnlyCheckpointLoader", {"ckpt_name": "svd.safetensors"}),
        start=(
            "SVD_img2vid_Conditioning",
            {
                "width": 512,
                "height": 512,
                "fps": 6,
                "init_image": "decode.0",
                "clip_vision": "video.1",
                "vae": "video.2",
            },
        ),
        move=(
            "KSampler",
            {**SAMPLING, "model": "video.0", "positive": "start.0", "negative": "start.1", "latent_image": "start.2"}
            | {"seed": 6},
        ),
        frames=("VAEDecode", {"samples": "move.0", "vae": "video.2"}),
        save=("SaveAnimatedWEBP", {"images": "frames.0", "fps": 10}),
    )
    assert places(nodes, "prompt", "seed", "steps") == {
        "prompt": "positive.text",
        "seed": "sampler.seed move.seed",
        "steps": "sampler.steps",
    }


def test_a_seed_is_found_in_a_bundle_of_everything() -> None:
    nodes = published(
        sampler=("KSampler", {**SAMPLING, "model": "loader.0", "seed": "outer.8"}),
        outer=("Context (rgthree)", {"base_ctx": "inner.0", "positive": "positive.0", "negative": "negative.0"}),
        inner=("Context (rgthree)", {"model": "loader.0", "clip": "loader.1", "seed": "number.0"}),
        number=("Seed (rgthree)", {"seed": 55}),
    )
    assert places(nodes, "seed") == {"seed": "number.seed"}


def test_what_a_node_showed_last_is_not_a_prompt() -> None:
    shown = parsed({"ShowText|pysssss": {"input": {"required": {"text": ["STRING", {}]}}, "output": ["STRING"]}})
    nodes = published(
        positive=("CLIPTextEncode", {"text": "shown.0", "clip": "loader.1"}),
        shown=("ShowText|pysssss", {"text": "asked.0", "text_0": "what was shown last time"}),
        asked=("Florence2Run", {"text_input": "", "image": "picture.0", "florence2_model": "model.0"}),
        picture=("LoadImage", {"image": "a.png"}),
        model=("DownloadAndLoadFlorence2Model", {"model": "x"}),
    )
    targets = tool.discover(tool.Flow.of(nodes, {**KNOWN, **shown})).get("prompt", ())
    assert all(target.input not in ("text_0", "model") for target in targets)


# --- marks and numbers of other programs ---


def test_numbers_held_as_text_are_found_and_bound_as_numbers() -> None:
    nodes = published(
        size=("EmptyLatentImage", {"width": "512", "height": "512", "batch_size": "1"}),
        sampler=("KSampler", {**SAMPLING, "model": "loader.0", "seed": "PARAM_INT_SEED", "steps": "20"}),
    )
    assert places(nodes, "seed", "steps", "width", "height") == {
        "seed": "sampler.seed",
        "steps": "sampler.steps",
        "width": "size.width",
        "height": "size.height",
    }
    bound = tool.Workflow.parse("x", nodes, KNOWN).bind({"seed": 7, "width": 640})
    assert (bound.graph["sampler"]["inputs"]["seed"], bound.graph["size"]["inputs"]["width"]) == (7, 640)


@pytest.mark.parametrize(
    ("name", "where"), [("seed", "sampler.seed"), ("steps", "sampler.steps"), ("width", "size.width")]
)
def test_a_number_that_a_text_mentions_is_set_where_it_belongs_and_mentioned(name: str, where: str) -> None:
    nodes = published(positive=("CLIPTextEncode", {"text": f"a cat, {{{{{name}}}}}", "clip": "loader.1"}))
    assert places(nodes, name) == {name: f"{where} positive.text{{{{{name}}}}}"}
    read = tool.Workflow.parse("x", nodes, KNOWN)
    held = read.value(name)
    assert isinstance(held, int)
    assert read.filled().graph["positive"]["inputs"]["text"] == f"a cat, {held}"
    bound = read.bind({name: 64}).filled()
    node_id, key = where.split(".")
    assert (bound.graph[node_id]["inputs"][key], bound.graph["positive"]["inputs"]["text"]) == (64, "a cat, 64")


def test_a_file_name_of_a_custom_saver_keeps_its_own_marks() -> None:
    nodes = published(
        save=("Image Saver", {"images": "decode.0", "filename": "%date%_%seed%_%width%x%height%", "path": ""})
    )
    read = tool.Workflow.parse("x", nodes, KNOWN)
    assert places(nodes, "seed", "width") == {"seed": "sampler.seed", "width": "size.width"}
    assert read.bind({"seed": 7}).filled().graph["save"] == nodes["save"]


# --- nodes that exist on the page only ---

PAGE = {
    **parsed({"Source": {"input": {"required": {}}, "output": ["VAE"]}}),
    **parsed({"Use": {"input": {"required": {"vae": ["VAE"]}}, "output": []}}),
}


@pytest.mark.parametrize("kind", ["Label (rgthree)", "Fast Groups Bypasser (rgthree)", "Note Plus (mtb)"])
def test_remarks_and_switches_of_common_packages_are_left_out(kind: str) -> None:
    ui = ui_workflow(
        ui_node(1, "Source"), ui_node(2, kind), ui_node(5, "Use", ("vae", "VAE", 1)), links=[[1, 1, 0, 5, 0, "VAE"]]
    )
    assert set(tool.convert(ui, PAGE)) == {"1", "5"}


def test_a_reroute_of_a_common_package_is_followed() -> None:
    ui = ui_workflow(
        ui_node(1, "Source"),
        ui_node(2, "Reroute (rgthree)", ("", "*", 1)),
        ui_node(5, "Use", ("vae", "VAE", 2)),
        links=[[1, 1, 0, 2, 0, "VAE"], [2, 2, 0, 5, 0, "VAE"]],
    )
    assert tool.convert(ui, PAGE)["5"]["inputs"] == {"vae": ["1", 0]}


EVERYWHERE = ui_workflow(
    ui_node(1, "Source"),
    ui_node(2, "Anything Everywhere", ("anything", "*", 1)),
    ui_node(5, "Use", ("vae", "VAE", None)),
    links=[[1, 1, 0, 2, 0, "VAE"]],
)


def test_links_without_lines_are_those_that_the_file_notes() -> None:
    link = {"upstream": "1", "upstream_slot": 0, "downstream": 5, "downstream_slot": 0, "controller": 2, "type": "VAE"}
    assert tool.convert({**EVERYWHERE, "extra": {"ue_links": [link]}}, PAGE) == {
        "1": {"class_type": "Source", "inputs": {}, "_meta": {"title": "Source"}},
        "5": {"class_type": "Use", "inputs": {"vae": ["1", 0]}, "_meta": {"title": "Use"}},
    }


@pytest.mark.parametrize("told", [None, {}, [], "x", [3], [{}], [{"upstream": 1, "downstream": 77}]])
def test_links_without_lines_that_the_file_does_not_note_are_refused_by_name(told: Any) -> None:
    with pytest.raises(tool.WorkflowRefused, match='"Anything Everywhere", node 2 sends'):
        tool.convert({**copy.deepcopy(EVERYWHERE), "extra": {"ue_links": told}}, PAGE)


# --- files by hand ---


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"1": {"class_type": "A", "inputs": {"b": "// kept /* too */ , }"}}}\n```',
        '{"1": {"class_type": "A", "inputs": {"b": "// kept /* too */ , }",},},}',
        '{// a remark\n"1": {"class_type": "A", /* another */ "inputs": {"b": "// kept /* too */ , }"}, // last\n}}',
    ],
)
def test_json_as_people_write_it_is_read(text: str) -> None:
    assert tool.read_json(text) == {"1": {"class_type": "A", "inputs": {"b": "// kept /* too */ , }"}}}


def test_a_bare_placeholder_is_read() -> None:
    assert tool.read_json('{"a": %width%, "b": "100%width%"}') == {"a": "%width%", "b": "100%width%"}


@pytest.mark.parametrize("key", ["input", "workflow_api", "workflow_json"])
def test_a_workflow_is_found_in_other_programs_envelopes(key: str) -> None:
    nodes = published()
    assert tool.unwrap({key: nodes}) == tool.unwrap({"input": {key: nodes}}) == nodes
    assert tool.unwrap({key: json.dumps(nodes)}) == nodes

"""LoRAs: their names and strengths as people write them, and where they go in any graph."""

import copy
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support.conversion import RELEASES
from tests.support.graphs import APART, BUNDLED, SWITCH, bundled, defined, graph, sampled, templates
from tests.support.odd_graphs import ALMOST_GRAPHS

KNOWN = defined(Switch=SWITCH)
FOX = tool.Lora("fox.safetensors", 0.8)
INK = tool.Lora("style/ink.safetensors", -0.5)


def put(nodes: Mapping[str, Any], *loras: tool.Lora, known: tool.Definitions = KNOWN) -> dict[str, Any]:
    return tool.with_loras(nodes, loras or (FOX,), known)


def chain(nodes: Mapping[str, Any], node_id: str, name: str = "model") -> list[str]:
    """What an input is fed through, from the loader on: files of LoRAs, else classes."""
    found: list[str] = []
    while link := nodes[node_id]["inputs"].get(name):
        node_id = link[0]
        node = nodes[node_id]
        found.append(node["inputs"].get("lora_name", node["class_type"]))
    return found[::-1]


def added(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [node["class_type"] for node_id, node in after.items() if node_id not in before]


CHECKPOINT: dict[str, Any] = {"loader": ("CheckpointLoaderSimple", {"ckpt_name": "a.safetensors"})}


# --- names and strengths ---


@pytest.mark.parametrize(
    ("text", "name", "strength"),
    [
        ("fox", "fox", 1.0),
        ("fox:0.8", "fox", 0.8),
        (" fox : -.5 ", "fox", -0.5),
        ("style/fox.safetensors:2", "style/fox.safetensors", 2.0),
        ("<lora:fox:0.8>", "fox", 0.8),
        ("<lora:fox>", "fox", 1.0),
        ("<lora:fox:0.8:0.3>", "fox", 0.8),
        (r"C:\loras\fox.safetensors", r"C:\loras\fox.safetensors", 1.0),
        (r"C:\loras\fox.safetensors:0.5", r"C:\loras\fox.safetensors", 0.5),
        ("fox: the red one", "fox: the red one", 1.0),
    ],
)
def test_a_lora_is_named_with_or_without_its_strength(text: str, name: str, strength: float) -> None:
    assert tool.parse_lora(text) == (name, strength)


@pytest.mark.parametrize("text", ["fox:nan", "fox:inf", "fox:-Infinity", "fox:1e9", "fox:101", "", ":1", "<lora::1>"])
def test_no_name_and_no_strength_that_could_be_meant_are_refused(text: str) -> None:
    with pytest.raises(tool.BadArgument):
        tool.parse_lora(text)


# --- where it goes ---


def test_a_checkpoint_brings_its_text_encoder_along() -> None:
    before = sampled(model="loader.0", text="loader.1", **CHECKPOINT)
    after = put(before, FOX, INK)
    assert chain(after, "sampler") == ["CheckpointLoaderSimple", FOX.file, INK.file]
    assert chain(after, "positive", "clip") == chain(after, "negative", "clip") == chain(after, "sampler")
    assert after["1"] == {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "fox.safetensors",
            "strength_model": 0.8,
            "strength_clip": 0.8,
            "model": ["loader", 0],
            "clip": ["loader", 1],
        },
        "_meta": {"title": "LoRA: fox"},
    }
    assert after["2"]["_meta"]["title"] == "LoRA: ink"


def test_a_text_encoder_that_is_loaded_alone_comes_along() -> None:
    after = put(sampled(model="loader.0", **APART))
    assert chain(after, "sampler") == ["UNETLoader", FOX.file]
    assert after["positive"]["inputs"]["clip"] == ["1", 1]
    assert after["1"]["inputs"]["clip"] == ["clip", 0]


def test_with_two_text_encoders_the_lora_goes_into_the_model_only() -> None:
    nodes = sampled(model="loader.0", other=("CLIPLoader", {}), **APART)
    nodes["negative"]["inputs"]["clip"] = ["other", 0]
    assert added(nodes, put(nodes)) == ["LoraLoaderModelOnly"]


def test_a_text_encoder_that_only_writes_prompts_is_left_alone() -> None:
    writer = {"input": {"required": {"clip": ["CLIP"]}}, "output": ["STRING"]}
    nodes = sampled(model="loader.0", llm=("CLIPLoader", {}), write=("Writer", {"clip": "llm.0"}), **APART)
    nodes["positive"]["inputs"]["text"] = ["write", 0]
    after = put(nodes, known=defined(Writer=writer))
    assert (after["write"], after["positive"]["inputs"]["clip"]) == (nodes["write"], ["1", 1])


def test_it_stands_behind_the_loras_that_are_there_and_before_all_patches() -> None:
    nodes = sampled(
        model="shift.0",
        old=("LoraLoaderModelOnly", {"model": "loader.0", "lora_name": "old"}),
        shift=("ModelSamplingSD3", {"model": "old.0"}),
        **APART,
    )
    assert chain(put(nodes), "sampler") == ["UNETLoader", "old", FOX.file, "ModelSamplingSD3"]


def test_the_text_encoder_follows_the_loras_that_are_there_and_comes_before_its_patches() -> None:
    nodes = sampled(
        model="old.0",
        text="last.0",
        old=("LoraLoader", {"model": "loader.0", "clip": "loader.1", "lora_name": "old"}),
        last=("CLIPSetLastLayer", {"clip": "old.1"}),
        **CHECKPOINT,
    )
    after = put(nodes)
    assert chain(after, "positive", "clip") == ["CheckpointLoaderSimple", "old", FOX.file, "CLIPSetLastLayer"]
    assert chain(after, "sampler") == ["CheckpointLoaderSimple", "old", FOX.file]


def test_never_does_it_close_a_circle() -> None:
    nodes = sampled(
        model="old.0",
        text="old.1",
        shift=("ModelSamplingSD3", {"model": "loader.0"}),
        old=("LoraLoader", {"model": "shift.0", "clip": "loader.1", "lora_name": "old"}),
        **CHECKPOINT,
    )
    after = put(nodes)
    assert chain(after, "sampler") == ["CheckpointLoaderSimple", FOX.file, "ModelSamplingSD3", "old"]
    assert chain(after, "positive", "clip") == ["CheckpointLoaderSimple", FOX.file, "old"]


def test_where_ways_part_it_stands_before_them_all() -> None:
    nodes = sampled(
        model="pick.0",
        old=("LoraLoaderModelOnly", {"model": "loader.0", "lora_name": "old"}),
        pick=("Switch", {"on_true": "old.0", "on_false": "loader.0"}),
        **APART,
    )
    after = put(nodes)
    assert added(nodes, after) == ["LoraLoader"]
    assert after["old"]["inputs"]["model"] == after["pick"]["inputs"]["on_false"] == ["1", 0]


def test_what_no_sampler_needs_keeps_its_link() -> None:
    nodes = sampled(model="loader.0", plan=("BasicScheduler", {"model": "loader.0"}), **APART)
    assert put(nodes)["plan"] == nodes["plan"]


def test_a_model_behind_switches_is_found() -> None:
    nodes = sampled(
        model="second.0",
        first=("Switch", {"on_true": "loader.0"}),
        second=("Switch", {"on_true": "first.0"}),
        **APART,
    )
    assert put(nodes)["first"]["inputs"]["on_true"] == ["1", 0]


def test_without_definitions_the_names_of_inputs_tell_the_models() -> None:
    nodes = sampled(model="patch.0", patch=("Unknown Patch", {"model": "loader.0"}), **APART)
    nodes["loader"]["class_type"] = "Unknown Loader"
    after = put(nodes, known={})
    assert chain(after, "sampler") == ["Unknown Loader", FOX.file, "Unknown Patch"]


# --- several models ---


def two_stages(one: str, other: str, kind: str = "UNETLoader", **more: Any) -> dict[str, Any]:
    """Two samplers that share the steps between them, each with a model of its own."""
    key = "ckpt_name" if kind.startswith("Check") else "unet_name"
    first = {"add_noise": "enable", "return_with_leftover_noise": "enable", "latent_image": "latent.0"}
    second = {"add_noise": "disable", "return_with_leftover_noise": "disable", "latent_image": "stage1.0"}
    return sampled(
        model="a.0",
        text="a.1" if kind.startswith("Check") else "clip.0",
        a=(kind, {key: one}),
        b=(kind, {key: other}),
        clip=("CLIPLoader", {}),
        stage1=("KSamplerAdvanced", {"model": "a.0", "positive": "positive.0"} | first),
        stage2=("KSamplerAdvanced", {"model": "b.0", "positive": "late.0"} | second),
        late=("CLIPTextEncode", {"clip": "b.1" if kind.startswith("Check") else "clip.0", "text": ""}),
        **more,
    )


WAN = ("wan2.2_high_noise_14B.safetensors", "wan2.2_low_noise_14B.safetensors")


@pytest.mark.parametrize(
    ("file", "sides"),
    [
        ("x_high_noise.safetensors", "a"),
        ("x-LOW.safetensors", "b"),
        ("low/x_HighNoise_v2.safetensors", "a"),
        ("fox.safetensors", "ab"),
        ("fox_high_quality.safetensors", "ab"),
        ("fox_highres.safetensors", "ab"),
        ("slow_motion.safetensors", "ab"),
    ],
)
def test_of_a_high_and_a_low_noise_model_a_lora_goes_to_the_one_its_name_says_else_to_both(
    file: str, sides: str
) -> None:
    after = put(two_stages(*WAN), tool.Lora(file))
    found = "".join(model for model, stage in (("a", "stage1"), ("b", "stage2")) if file in chain(after, stage))
    assert found == sides


def test_a_side_that_no_model_has_is_no_side() -> None:
    after = put(two_stages("a.safetensors", "b.safetensors"), tool.Lora("x_high.safetensors"))
    assert "x_high.safetensors" in chain(after, "stage1")
    assert "x_high.safetensors" in chain(after, "stage2")


def test_a_text_encoder_of_two_models_gets_a_lora_once() -> None:
    nodes = two_stages(*WAN)
    after = put(nodes)
    assert added(nodes, after) == ["LoraLoader", "LoraLoaderModelOnly"]
    assert after["positive"]["inputs"]["clip"] == after["late"]["inputs"]["clip"] == ["1", 1]


# --- any graph ---


def test_a_graph_that_takes_no_lora_says_so() -> None:
    nodes = graph(
        image=("LoadImage", {"image": "x.png"}),
        up=("ImageUpscaleWithModel", {"image": "image.0", "upscale_model": "loader.0"}),
        loader=("UpscaleModelLoader", {"model_name": "4x.pth"}),
        save=("SaveImage", {"images": "up.0"}),
    )
    with pytest.raises(tool.WorkflowRefused, match="no model that takes a LoRA"):
        put(nodes)
    with pytest.raises(tool.WorkflowRefused):
        put(nodes, known={})


def test_a_model_that_only_detects_takes_none() -> None:
    detect = {"input": {"required": {"model": ["MODEL"], "conditioning": ["CONDITIONING"]}}, "output": ["MASK"]}
    nodes = graph(
        **CHECKPOINT,
        text=("CLIPTextEncode", {"clip": "loader.1"}),
        find=("Detect", {"model": "loader.0", "conditioning": "text.0"}),
        save=("MaskPreview", {"mask": "find.0"}),
    )
    with pytest.raises(tool.WorkflowRefused):
        put(nodes, known=defined(Detect=detect))


def test_no_lora_changes_nothing_in_any_graph() -> None:
    assert tool.with_loras({"1": {"class_type": "X"}}, (), {}) == {"1": {"class_type": "X"}}


def test_new_nodes_are_numbered_above_the_others() -> None:
    nodes = sampled(model="loader.0", text="loader.1", **CHECKPOINT)
    nodes |= {"41": {"class_type": "X", "inputs": {}}, "89:99": {"class_type": "X", "inputs": {}}}
    assert {"42", "43"} == put(nodes, FOX, INK).keys() - nodes.keys()


def graphs() -> list[Any]:
    named = [(name, RELEASES[1], bundled(name)) for name in BUNDLED]
    named += [(name, release, nodes) for release in RELEASES for name, nodes in templates(release).items()]
    return [pytest.param(nodes, release, id=f"{name}, {release}") for name, release, nodes in named]


@pytest.mark.parametrize(("nodes", "release"), graphs())
def test_in_official_templates_every_sampler_has_each_lora_once_and_nothing_else_changes(
    nodes: dict[str, Any], release: str
) -> None:
    known, before = defined(release), copy.deepcopy(nodes)
    if not any("Sampler" in node["class_type"] for node in nodes.values()):
        with pytest.raises(tool.WorkflowRefused):
            put(nodes, FOX, INK, known=known)
        return
    after = put(nodes, FOX, INK, known=known)
    new = after.keys() - nodes.keys()
    assert nodes == before
    for node_id, node in nodes.items():
        kept = {
            name: held for name, held in after[node_id]["inputs"].items() if not (tool.is_link(held) and held[0] in new)
        }
        assert kept.items() <= node["inputs"].items()
        assert all(tool.is_link(node["inputs"][name]) for name in after[node_id]["inputs"].keys() - kept.keys())
    for node_id, node in after.items():
        for name, held in node["inputs"].items():
            if tool.is_link(held) and (node_id in new or held[0] in new):
                made = known[after[held[0]]["class_type"]].outputs[held[1]]
                assert known[node["class_type"]].inputs[name].type == made
    wiring = tool.Wiring.of(after, known)
    for node_id in filter(wiring.uses_diffusion_model, wiring.nodes):
        way = [after[place] for place in wiring.before([node_id], ("MODEL",))]
        files = [node["inputs"]["lora_name"] for node in way if node["_meta"]["title"].startswith("LoRA: ")]
        assert sorted(files) == [FOX.file, INK.file]


@given(ALMOST_GRAPHS)
def test_no_graph_is_too_odd(nodes: dict[str, Any]) -> None:
    before = copy.deepcopy(nodes)
    for known in (KNOWN, {}):
        try:
            after = put(nodes, FOX, INK, known=known)
        except tool.WorkflowRefused:
            continue
        assert circles(after) <= circles(before)
    assert repr(nodes) == repr(before)


def circles(nodes: dict[str, Any]) -> bool:
    """Whether links run in a circle somewhere."""
    wiring = tool.Wiring.of(nodes, {})
    left = {node_id: len(links) for node_id, links in wiring.into.items()}
    free = [node_id for node_id, count in left.items() if not count]
    for node_id in free:
        for link in wiring.out_of[node_id]:
            left[link.node] -= 1
            if not left[link.node]:
                free.append(link.node)
    return len(free) < len(left)


def test_a_huge_graph_takes_no_time() -> None:
    nodes = sampled(model="p4999.0", **APART, p0=("ModelSamplingSD3", {"model": "loader.0"}))
    nodes |= {
        f"p{n}": {"class_type": "ModelSamplingSD3", "inputs": {"model": [f"p{n - 1}", 0]}} for n in range(1, 5000)
    }
    nodes |= {f"l{n}": {"class_type": "LoraLoader", "inputs": {"model": ["loader", 0]}} for n in range(2000)}
    nodes["sampler"]["inputs"]["model"] = ["p4999", 0]
    start = time.process_time()
    after = put(nodes, *[FOX] * 50)
    assert time.process_time() - start < 2
    assert len(after) == len(nodes) + 50


# --- in every shape in which they are asked for ---

BOTH = [("a", 1.0), ("b", 0.8)]


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("a, b:0.8", BOTH),
        ("a; b:0.8", BOTH),
        (["a", "b:0.8"], BOTH),
        (["a", "b", 0.8], BOTH),
        (["a", "b", "0.8"], BOTH),
        ([["a", 1], ["b", 0.8]], BOTH),
        ([{"name": "a"}, {"name": "b", "strength": 0.8}], BOTH),
        ([{"lora": "a", "weight": "1.0"}, {"lora_name": "b", "strength_model": "80 %"}], BOTH),
        ({"a": 1, "b": 0.8}, BOTH),
        ({"a": None, "b": {"strength": 0.8}}, BOTH),
        ({"loras": ["a", "b:0.8"]}, BOTH),
        (["a", "b:80%"], BOTH),
        ({"loras": ["a:0.5", "b"], "strength": 0.8}, [("a", 0.5), ("b", 0.8)]),
        (["a", "b", 0.5, 0.8], [("a", 0.5), ("b", 0.8)]),
        ('{"a": 1, "b": 0.8}', BOTH),
        ("['a', 'b:0.8']", BOTH),
        ('[{"name": "a", "strength": 1}, "b:0.8"]', BOTH),
        ("<lora:a:1> , <lora:b:0.8>", BOTH),
        ("b (0.8)", BOTH[1:]),
        ("b 0.8", BOTH[1:]),
        ("b=0.8", BOTH[1:]),
        ("detail v1.5", [("detail v1.5", 1.0)]),
        ([{"name": "a"}, {"name": "off", "on": False}], BOTH[:1]),
        (["none", ""], []),
        ([], []),
    ],
    ids=str,
)
def test_loras_are_named_in_any_shape(value: Any, asked: list[tuple[str, float]]) -> None:
    assert tool.read_loras(tool.Argument(value, "loras")) == asked


@pytest.mark.parametrize("value", [7, True, [1], [{"name": "a", "strength": "x"}], {"a": [1, 2]}, [[[[[[[["a"]]]]]]]]])
def test_what_names_no_loras_is_refused(value: Any) -> None:
    with pytest.raises(tool.BadArgument, match="The argument loras is"):
        tool.read_loras(tool.Argument(value, "The argument loras"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "strength", "loras", "a"]), inner)
    ),
    max_leaves=6,
)


@given(JSON)
def test_any_value_names_loras_or_is_refused(value: Any) -> None:
    try:
        for name, strength in tool.read_loras(tool.Argument(value, "loras")):
            assert name
            assert abs(strength) <= tool.MAX_STRENGTH
    except tool.BadArgument as refused:
        assert refused.hint

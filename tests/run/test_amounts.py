"""The limits hold for what a graph comes to, however it gets there, and for nothing that it does not come to."""

import math
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

import comfyui_tool as tool
from tests.support.graphs import defined, node, sampler, text_to_image

Nodes = dict[str, Any]

# Classes that the stand-in does not have, as `/object_info` lists them.
WHOLE, REAL, TEXT = ["INT", {}], ["FLOAT", {}], ["STRING", {}]
CLASSES: dict[str, Any] = {
    "GetImageSize": {"input": {"required": {"image": ["IMAGE", {}]}}, "output": ["INT", "INT", "INT"]},
    "IntMultiply": {"input": {"required": {"a": WHOLE, "b": WHOLE}}, "output": ["INT"]},
    "Riddle": {"input": {"required": {"signal": ["NOISE", {}]}}, "output": ["INT"]},
    "Formula": {"input": {"required": {"expression": TEXT, "a": WHOLE}}, "output": ["INT"]},
    "AnySize": {"input": {"required": {"dimensions": [["512x512", "8192x8192"], {}]}}, "output": ["INT", "INT"]},
    "ManualSigmas": {"input": {"required": {"sigmas": TEXT}}, "output": ["SIGMAS"]},
    "Pad": {
        "input": {"required": {"image": ["IMAGE", {}], "left": WHOLE, "right": WHOLE}},
        "output": ["IMAGE"],
    },
    "Stitch": {"input": {"required": {"image1": ["IMAGE", {}], "image2": ["IMAGE", {}]}}, "output": ["IMAGE"]},
    "Settings": {
        "input": {"required": {"width": WHOLE, "height": WHOLE, "batch_size": WHOLE}},
        "output": ["INT", "INT", "INT"],
        "output_name": ["width", "height", "batch_size"],
    },
}


def latent(width: Any = 1024, height: Any = 768, batch_size: Any = 1) -> Nodes:
    return node("EmptyLatentImage", width=width, height=height, batch_size=batch_size)


def saved(picture: str) -> Nodes:
    return node("SaveImage", images=(picture, 0), filename_prefix="x")


def chain(class_type: str, times: int, given: str, link: str = "image", **inputs: Any) -> Nodes:
    """The same node several times, each fed by the one before; the last one is called "end"."""
    names = [f"{class_type}{number}" for number in range(1, times)] + ["end"]
    befores = [given, *names]
    return {
        name: node(class_type, **{link: (before, 0)}, **inputs) for name, before in zip(names, befores, strict=False)
    }


def larger(times: int) -> Nodes:
    return chain("ImageScaleBy", times, "decode", upscale_method="area", scale_by=4.0)


def refused(nodes: Nodes, limits: tool.Limits | None = None, **options: Any) -> str:
    """What a user's graph is refused with, a text-to-image graph with these nodes added or put in their place; "" for
    one that is not."""
    graph = text_to_image(**nodes)
    workflow = tool.Workflow.parse("x", graph, defined(**CLASSES))
    makes = {kind for _, kind in tool.outputs(workflow.flow)}
    try:
        tool.check_limits(workflow, limits or tool.Limits(), set(), makes, **options)
    except tool.LimitExceeded as error:
        return error.message
    return ""


# --- ways round the limits ---

FILM = {"save": node("SaveAnimatedWEBP", images=("end", 0), fps=24.0)}
ROUND: dict[str, tuple[Nodes, str]] = {
    "scaled and scaled again": (larger(3) | {"save": saved("end")}, "as megapixels of a picture"),
    "a model that enlarges four times, twice": (
        chain("ImageUpscaleWithModel", 2, "decode", upscale_model=("enlarger", 0))
        | {"enlarger": node("UpscaleModelLoader", model_name="4x-sharp.pth"), "save": saved("end")},
        "201.33 as megapixels of a picture",
    ),
    "latents scaled before they are sampled": (
        chain("LatentUpscaleBy", 2, "latent", "samples", upscale_method="area", scale_by=4.0)
        | {"sampler": sampler(latent_image=("end", 0))},
        "12.58 as megapixels of a picture",
    ),
    "margins": (
        {"end": node("Pad", image=("decode", 0), left=60000, right=60000), "save": saved("end")},
        "as megapixels of a picture",
    ),
    "two pictures stitched, and again": (
        {
            "one": node("Stitch", image1=("big", 0), image2=("big", 0)),
            "two": node("Stitch", image1=("one", 0), image2=("one", 0)),
            "big": node("ImageScale", image=("decode", 0), upscale_method="area", width=4000, height=1000, crop="no"),
            "end": node("Stitch", image1=("two", 0), image2=("two", 0)),
            "last": node("Stitch", image1=("end", 0), image2=("end", 0)),
            "save": saved("last"),
        },
        "64 as megapixels of a picture",
    ),
    "batches doubled": (
        chain("RepeatLatentBatch", 3, "latent", "samples", amount=4) | {"sampler": sampler(latent_image=("end", 0))},
        "has 64 as the number of pictures",
    ),
    "pictures repeated after they are made": (
        chain("RepeatImageBatch", 4, "decode", amount=4) | {"save": saved("end")},
        "has 256 as the number of pictures",
    ),
    "a product as the number of pictures": (
        {"latent": latent(batch_size=("product", 0)), "product": node("IntMultiply", a=30, b=30)},
        "900 as batch_size",
    ),
    "a formula as the width": (
        {"latent": latent(width=("sum", 0)), "sum": node("Formula", expression="a * a // 8", a=512)},
        "25.17 as width x height",
    ),
    "a size out of a list": (
        {"latent": latent(("size", 0), ("size", 1)), "size": node("AnySize", dimensions="8192x8192")},
        "67.11 as width x height",
    ),
    "the size of a large picture": (
        larger(2)
        | {"size": node("GetImageSize", image=("end", 0)), "latent": latent(("size", 0), ("size", 1))}
        | {"decode": node("LoadImage", image="a.png")},
        "as width x height in megapixels",
    ),
    "a number that nothing bounds": (
        {"latent": latent(width=("riddle", 0)), "riddle": node("Riddle", signal=("model", 0))},
        "no number in the workflow bounds",
    ),
    "many samplers": (
        {f"again{number}": sampler(steps=100, seed=number) for number in range(50)},
        "steps of all samplers together",
    ),
    "steps written as a list of sigmas": (
        {"list": node("ManualSigmas", sigmas=", ".join(["1.0"] * 20_000))},
        "19999 as steps",
    ),
    "a film of repeated frames": (
        chain("RepeatImageBatch", 3, "decode", amount=81) | FILM,
        "seconds",
    ),
}


@pytest.mark.parametrize(("nodes", "told"), ROUND.values(), ids=ROUND)
def test_no_way_leads_round_the_limits(nodes: Nodes, told: str) -> None:
    assert told in refused(nodes)


# --- what is within them ---

WITHIN: dict[str, Nodes] = {
    "a picture enlarged four times": larger(1) | {"save": saved("end")},
    "enlarged, and scaled down again": (
        larger(2)
        | {
            "small": node(
                "ImageScale", image=("ImageScaleBy1", 0), upscale_method="area", width=64, height=64, crop="no"
            ),
            "end": node("ImageScaleBy", image=("small", 0), upscale_method="area", scale_by=4.0),
            "save": saved("end"),
        }
    ),
    "a second pass at twice the size": {
        "larger": node("LatentUpscaleBy", samples=("sampler", 0), upscale_method="area", scale_by=2.0),
        "second": sampler(latent_image=("larger", 0), denoise=0.5),
        "decode": node("VAEDecode", samples=("second", 0), vae=("model", 2)),
    },
    "a rounded width": {
        "latent": latent(("sum", 0)),
        "sum": node("Formula", expression="max(a // 16 * 16, 256)", a=1000),
    },
    "the size of a picture": {
        "picture": node("LoadImage", image="a.png"),
        "size": node("GetImageSize", image=("picture", 0)),
        "latent": latent(("size", 0), ("size", 1), ("size", 2)),
    },
    "twelve pictures on one sheet": {
        **{f"picture{number}": node("LoadImage", image="a.png") for number in range(2)},
        **chain("ImageBatch", 12, "picture0", "image1", image2=("picture1", 0)),
        "save": saved("end"),
    },
    "settings kept in one node": {
        "latent": latent(("kept", 0), ("kept", 1), ("kept", 2)),
        "kept": node("Settings", width=1024, height=768, batch_size=2),
    },
    "base and refiner share the steps": {
        "sampler": node(
            "KSamplerAdvanced", **sampler()["inputs"] | {"start_at_step": 0, "end_at_step": 80, "steps": 100}
        ),
    },
}


@pytest.mark.parametrize("nodes", WITHIN.values(), ids=WITHIN)
def test_what_is_within_the_limits_is_not_refused(nodes: Nodes) -> None:
    assert refused(nodes) == ""


def test_the_size_of_an_uploaded_picture_counts() -> None:
    nodes = larger(1) | {"decode": node("LoadImage", image="a.png"), "save": saved("end")}
    small, large = ({tool.Target("decode", "image"): tool.Size(side, side)} for side in (1000, 2000))
    assert refused(nodes, sizes=small) == ""
    assert "64 as megapixels" in refused(nodes, sizes=large)


# --- a workflow of the administrator's ---


def as_saved(nodes: Nodes, changed: Nodes, **limits: Any) -> str:
    """What a call is refused with that changes these nodes of an administrator's workflow."""
    before = tool.Workflow.parse("x", text_to_image(**nodes), defined(**CLASSES))
    touched = {tool.Target(node_id, name) for node_id, one in changed.items() for name in one["inputs"]}
    after = tool.Workflow.parse("x", text_to_image(**nodes | changed), defined(**CLASSES))
    try:
        tool.check_limits(after, tool.Limits(**limits), touched, {"image"}, saved=before)
    except tool.LimitExceeded as error:
        return error.message
    return ""


def test_a_workflow_of_the_administrators_may_do_what_it_was_saved_with() -> None:
    six = {"latent": latent(batch_size=6), "sampler": sampler(steps=150)}
    assert refused(six)
    assert as_saved(six, {}) == ""


def test_a_call_may_not_make_more_of_it() -> None:
    six = {"latent": latent(batch_size=6)}
    assert "8 as batch_size" in as_saved(six, {"latent": latent(batch_size=8)})
    assert as_saved(six, {"latent": latent(batch_size=5)}) == ""


def test_what_has_no_bound_in_it_is_refused_only_if_the_call_set_something_before_it() -> None:
    riddle = {"latent": latent(width=("riddle", 0)), "riddle": node("Riddle", signal=("model", 0))}
    assert as_saved(riddle, {"good": node("CLIPTextEncode", text="a dog", clip=("model", 1))}) == ""
    assert "bounds" in as_saved(riddle, {"model": node("CheckpointLoaderSimple", ckpt_name="b.safetensors")})


# --- the range of a formula ---

OPERATORS = strategies.sampled_from(["+", "-", "*", "/", "//", "%", "**"])
FORMULAS = strategies.recursive(
    strategies.sampled_from(["a", "b", "1", "3", "0.5", "16"]),
    lambda parts: strategies.one_of(
        strategies.tuples(parts, strategies.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), parts).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        strategies.tuples(strategies.sampled_from(["min", "max"]), parts, parts).map("{0[0]}({0[1]}, {0[2]})".format),
        strategies.tuples(strategies.sampled_from(["round", "int", "abs", "-"]), parts).map("{0[0]}({0[1]})".format),
        strategies.tuples(parts, parts, parts).map("({0[0]} if {0[1]} > 1 else {0[2]})".format),
    ),
    max_leaves=6,
)
SIDES = strategies.integers(0, 64)


@hypothesis.given(FORMULAS, SIDES, SIDES, SIDES, SIDES)
def test_a_formula_comes_to_a_number_in_its_range(formula: str, low: int, more: int, other: int, least: int) -> None:
    variables = {"a": tool.Range(low, low + more), "b": tool.Range(min(other, least), max(other, least))}
    found = tool.range_of(formula, variables)
    for a in variables["a"]:
        for b in variables["b"]:
            try:
                value = eval(formula, {"a": a, "b": b})  # noqa: S307 - made above
            except (ArithmeticError, ValueError):
                continue
            if not isinstance(value, complex) and math.isfinite(value):
                slack = 1e-6 * max(abs(value), 1.0)
                assert found.low - slack <= value <= found.high + slack


BITS = strategies.recursive(
    strategies.sampled_from(["a", "b", "1", "7"]),
    lambda parts: strategies.one_of(
        strategies.tuples(parts, strategies.sampled_from(["&", "|", "^", ">>", "+", "-"]), parts).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        parts.map("~{0}".format),
    ),
    max_leaves=6,
)


@hypothesis.given(BITS, SIDES, SIDES, SIDES, SIDES)
def test_so_does_one_that_works_bit_by_bit(formula: str, low: int, more: int, other: int, least: int) -> None:
    test_a_formula_comes_to_a_number_in_its_range.hypothesis.inner_test(formula, low, more, other, least)


def test_a_number_that_is_made_even_keeps_its_bound() -> None:
    assert tool.range_of("a & ~1", {"a": tool.Range(0, 2049)}) == tool.Range(0, 2049)
    assert tool.range_of("a >> 1 << 1", {"a": tool.Range(0, 2048)}) == tool.Range(0, 4096)
    assert tool.range_of("a << 70", {"a": tool.Range(0, 1)}) == tool.ANY_NUMBER


@pytest.mark.parametrize(
    "formula", ["", "a +", "(" * 400, "9**9**9", "1e308 * 1e308", "x", "a.b", "__import__('os')", "a" * 501, "10**70"]
)
def test_what_cannot_be_read_comes_to_any_number(formula: str) -> None:
    assert tool.range_of(formula, {"a": tool.Range(1, 2)}) == tool.ANY_NUMBER

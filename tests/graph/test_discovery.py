"""Which widgets of a graph are the prompt, the seed, the size and so on: found with nothing mapped by hand."""

import contextlib
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support.conversion import classes, converted, every_template
from tests.support.graphs import at, bundled, encoder, found, node, sampler, text_to_image
from tests.support.odd_graphs import ANYTHING, CLASSES, DEFINITIONS, NAMES, NODES

# --- a plain graph ---


def parameters(graph: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {
        name: [(t.node_id, t.input) for t in targets]
        for name, targets in tool.discover(tool.Flow.of(graph, {})).items()
    }


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


# --- what the author named ---


@pytest.mark.parametrize("title", ["param: style", "Param:style", "PARAM : Style"])
def test_a_title_names_a_parameter_of_any_name(title: str) -> None:
    assert found(text_to_image(mine=node("PrimitiveString", title, value="oil")), "style") == ["mine.value"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Prompt", "prompt"),
        ("positive", "prompt"),
        ("Negative Prompt", "negative_prompt"),
        ("negative_prompt", "negative_prompt"),
        ("LYRICS", "lyrics"),
        ("Text String (Prompt)", "prompt"),
    ],
)
def test_a_title_that_is_nothing_but_a_known_name_names_it(title: str, name: str) -> None:
    graph = text_to_image(own=node("MyText", title, text="x"), join=node("Join", a=("own", 0), b="!"))
    graph["good"]["inputs"]["text"] = ["join", 0]
    assert found(graph, name) == ["own.text"]


@pytest.mark.parametrize("title", ["Steps", "Int (Steps)", "steps (INT)"])
def test_a_titled_number_counts(title: str) -> None:
    graph = text_to_image(own=node("PrimitiveInt", title, value=9), sampler=sampler(steps=("twice", 0)))
    graph["twice"] = node("Math", a=("own", 0), b=2)
    assert found(graph, "steps") == ["own.value"]


def test_a_title_picks_the_input_of_its_name() -> None:
    graph = text_to_image()
    graph["sampler"]["_meta"] = {"title": "param: cfg"}
    assert found(graph, "guidance") == ["sampler.cfg"]


def test_a_titled_encoder_is_followed_to_its_text() -> None:
    graph = text_to_image(good=encoder(("own", 0)) | {"_meta": {"title": "Positive"}}, own=node("MyText", text="a cat"))
    assert found(graph, "prompt") == ["own.text"]


def test_a_title_on_a_node_that_cannot_hold_it_means_nothing() -> None:
    graph = text_to_image(picture=node("LoadImage", "Prompt", image="x.png"))
    assert found(graph, "prompt") == ["good.text"]


def test_a_named_parameter_is_not_traced_too() -> None:
    graph = text_to_image(good=encoder("a cat") | {"_meta": {"title": "param: prompt"}}, second=sampler())
    graph["second"]["inputs"] |= {"latent_image": ["sampler", 0], "positive": ["other", 0]}
    graph |= {"other": encoder("a cat"), "decode": node("VAEDecode", samples=("second", 0))}
    assert found(graph, "prompt") == ["good.text"]


def test_two_titles_before_a_switch_mean_the_one_that_it_lets_through() -> None:
    graph = text_to_image(fast=node("PrimitiveInt", "Steps", value=4), slow=node("PrimitiveInt", "Steps", value=20))
    graph["turbo"] = node("PrimitiveBoolean", value=False)
    graph["pick"] = node("ComfySwitchNode", switch=("turbo", 0), on_true=("fast", 0), on_false=("slow", 0))
    graph["sampler"]["inputs"]["steps"] = ["pick", 0]
    assert found(graph, "steps") == ["slow.value"]


# --- conditioning ---


def test_a_split_after_the_sides_met_is_kept_apart() -> None:
    graph = text_to_image(
        control=node("ControlNetApplyAdvanced", positive=("good", 0), negative=("bad", 0), image=("x", 0))
    )
    graph["sampler"]["inputs"] |= {"positive": ["control", 0], "negative": ["control", 1]}
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["good.text"], "negative_prompt": ["bad.text"]}


def test_sides_of_other_names_are_kept_apart() -> None:
    sides = {"base_positive": ("good", 0), "base_negative": ("bad", 0), "controlnet_stack": ("x", 0)}
    graph = text_to_image(control=node("CR Apply Multi-ControlNet", **sides))
    graph["sampler"]["inputs"] |= {"positive": ["control", 0], "negative": ["control", 1]}
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["good.text"], "negative_prompt": ["bad.text"]}


def test_what_follows_a_zeroed_conditioning_is_no_negative_prompt() -> None:
    graph = text_to_image(bad=node("ConditioningZeroOut", conditioning=("good", 0)))
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["good.text"], "negative_prompt": []}


def test_a_text_that_feeds_both_sides_is_the_prompt() -> None:
    graph = text_to_image(good=encoder(("own", 0)), bad=encoder(("own", 0)), own=node("PrimitiveString", value="x"))
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["own.value"], "negative_prompt": []}


def test_of_combined_texts_the_one_for_the_whole_picture_is_the_prompt() -> None:
    graph = text_to_image(sky=encoder("sky"), sea=encoder("sea"))
    graph["area"] = node("ConditioningSetArea", conditioning=("sky", 0), width=64, height=64, x=0, y=0, strength=1)
    graph["mask"] = node("ConditioningSetMask", conditioning=("sea", 0), mask=("m", 0))
    graph["parts"] = node("ConditioningCombine", conditioning_1=("area", 0), conditioning_2=("mask", 0))
    graph["all"] = node("ConditioningCombine", conditioning_1=("parts", 0), conditioning_2=("good", 0))
    graph["sampler"]["inputs"]["positive"] = ["all", 0]
    assert found(graph, "prompt") == ["good.text"]


def test_of_equal_texts_the_first_is_the_prompt() -> None:
    graph = text_to_image(more=encoder("grain"))
    graph["all"] = node("ConditioningConcat", conditioning_from=("more", 0), conditioning_to=("good", 0))
    graph["sampler"]["inputs"]["positive"] = ["all", 0]
    assert found(graph, "prompt") == ["good.text"]


def test_all_texts_of_an_encoder_are_set_together() -> None:
    graph = text_to_image(
        good=node("CLIPTextEncodeSDXL", text_g="a cat", text_l="", clip=("model", 1), width=1024, height=768)
    )
    assert found(graph, "prompt") == ["good.text_g", "good.text_l"]


def test_lyrics_are_not_the_prompt() -> None:
    graph = text_to_image(good=node("TextEncodeAceStepAudio", tags="pop", lyrics="la la", clip=("model", 1)))
    graph["latent"] = node("EmptyAceStepLatentAudio", seconds=30.0, batch_size=1)
    assert found(graph, "prompt", "lyrics", "seconds") == {
        "prompt": ["good.tags"],
        "lyrics": ["good.lyrics"],
        "seconds": ["latent.seconds"],
    }


# --- texts over links ---


def test_a_text_is_followed_over_what_shows_it_and_what_turns_it_on() -> None:
    graph = text_to_image(
        good=encoder(("show", 0)), show=node("ShowText|pysssss", text=("pick", 0), text_0="shown before")
    )
    graph["pick"] = node("Any Switch (rgthree)", any_01=("own", 0), any_02=("other", 0))
    graph |= {"own": node("Text Multiline", text="a cat"), "other": node("Text Multiline", text="a dog")}
    assert found(graph, "prompt") == ["own.text"]


def test_a_joined_text_is_set_where_a_person_types_it() -> None:
    graph = text_to_image(good=encoder(("join", 0)))
    graph["join"] = node("StringConcatenate", string_a=("system", 0), string_b=("user", 0), delimiter="")
    graph["system"] = node("PrimitiveStringMultiline", "System Prompt", value="You are a painter.")
    graph["user"] = node("PrimitiveStringMultiline", "User Prompt", value="a cat")
    graph["user"]["_meta"]["title"] = "What the user wants"
    assert found(graph, "prompt") == ["user.value"]


def test_behind_an_enhancer_stands_the_prompt_that_it_enhances() -> None:
    graph = text_to_image(good=encoder(("more", 0)), own=node("PrimitiveString", value="a cat"))
    graph["more"] = node("TextGenerate", prompt=("own", 0), clip=("model", 1), system_prompt="Be vivid.")
    assert found(graph, "prompt") == ["own.value"]


def test_an_enhancer_may_hold_the_prompt_itself() -> None:
    graph = text_to_image(good=encoder(("more", 0)), more=node("TextGenerate", prompt="a cat", clip=("model", 1)))
    assert found(graph, "prompt") == ["more.prompt"]


def test_a_prompt_styler_gives_both_sides() -> None:
    graph = text_to_image(good=encoder(("style", 0)), bad=encoder(("style", 1)))
    graph["style"] = node("SDXLPromptStyler", text_positive="a cat", text_negative="ugly", style="base")
    assert found(graph, "prompt", "negative_prompt") == {
        "prompt": ["style.text_positive"],
        "negative_prompt": ["style.text_negative"],
    }


# --- numbers over links ---


@pytest.mark.parametrize(
    ("class_type", "key"),
    [("PrimitiveInt", "value"), ("INTConstant", "value"), ("Seed (rgthree)", "seed"), ("easy seed", "seed")],
)
def test_a_linked_number_is_set_in_the_node_that_holds_it(class_type: str, key: str) -> None:
    graph = text_to_image(number=node(class_type, **{key: 5}), sampler=sampler(seed=("number", 0)))
    assert found(graph, "seed") == [f"number.{key}"]


def test_a_number_is_not_traced_through_arithmetic() -> None:
    graph = text_to_image(number=node("PrimitiveInt", value=5), sampler=sampler(steps=("twice", 0)))
    graph["twice"] = node("ComfyMathExpression", expression="a * 2", values__a=("number", 0))
    assert found(graph, "steps") == []
    graph["twice"]["inputs"]["expression"] = "a"
    assert found(graph, "steps") == ["number.value"]


def test_what_a_switch_holds_back_does_not_count() -> None:
    graph = text_to_image(pick=node("ComfySwitchNode", switch=("on", 0), on_false=("own", 0), on_true=("other", 0)))
    graph |= {"on": node("PrimitiveBoolean", value=True), "own": node("PrimitiveInt", value=4)}
    graph["other"] = node("GetImageSize", image=("decode", 0))
    graph["latent"]["inputs"]["width"] = ["pick", 0]
    assert found(graph, "width") == []
    graph["on"]["inputs"]["value"] = False
    assert found(graph, "width") == ["own.value"]


# --- guidance, size, model ---


def test_embedded_guidance_wins_over_cfg() -> None:
    graph = text_to_image(flux=node("FluxGuidance", guidance=3.5, conditioning=("good", 0)), sampler=sampler(cfg=1.0))
    graph["sampler"]["inputs"]["positive"] = ["flux", 0]
    assert found(graph, "guidance") == ["flux.guidance"]


def test_nodes_that_hold_the_size_of_the_picture_follow_it() -> None:
    graph = text_to_image(flux=node("ModelSamplingFlux", model=("model", 0), max_shift=1.1, width=1024, height=768))
    graph["sampler"]["inputs"]["model"] = ["flux", 0]
    graph["good"] = node(
        "CLIPTextEncodeSDXL", text_g="a", text_l="a", width=1024, height=768, target_width=1024, target_height=768
    )
    widths = {"latent.width", "flux.width", "good.width", "good.target_width"}
    assert set(found(graph, "width")) == widths
    assert found(graph, "width")[0] == "latent.width"


def test_a_picture_that_is_scaled_before_it_is_encoded_has_its_size_there() -> None:
    graph = text_to_image(latent=node("VAEEncode", pixels=("scale", 0), vae=("model", 2)))
    graph |= {
        "scale": node("ImageScale", image=("load", 0), width=512, height=640),
        "load": node("LoadImage", image="a"),
    }
    assert found(graph, "width", "height") == {"width": ["scale.width"], "height": ["scale.height"]}
    graph["scale"]["inputs"]["height"] = 0
    assert found(graph, "width") == []


def test_where_nothing_is_made_the_size_is_that_of_what_is_saved() -> None:
    graph = {
        "load": node("LoadImage", image="a"),
        "first": node("ImageScale", image=("load", 0), width=512, height=640),
        "large": node("ImageUpscaleWithModel", image=("first", 0), upscale_model=("model", 0)),
        "model": node("UpscaleModelLoader", model_name="x4.pth"),
        "last": node("ImageScale", image=("large", 0), width=1024, height=1280),
        "save": node("SaveImage", images=("last", 0), filename_prefix="x"),
    }
    assert found(graph, "width", "height", "fps") == {"width": ["last.width"], "height": ["last.height"], "fps": []}
    graph["save"]["inputs"]["images"] = ["load", 0]
    assert found(graph, "width") == []


def test_the_model_is_found_behind_loras() -> None:
    graph = text_to_image(lora=node("LoraLoader", model=("model", 0), clip=("model", 1), lora_name="l.safetensors"))
    graph["sampler"]["inputs"]["model"] = ["lora", 0]
    assert found(graph, "model") == ["model.ckpt_name"]


# --- two stages ---


def test_what_a_first_stage_composed_may_come_with_the_conditioning_of_the_second() -> None:
    # Stable Cascade: stage C composes the picture, and stage B begins with a latent of its own.
    graph = text_to_image(
        fine=sampler(model=("fine model", 0), positive=("composed", 0), seed=5, steps=10, cfg=1.1),
        composed=node("StableCascade_StageB_Conditioning", conditioning=("good", 0), stage_c=("sampler", 0)),
    )
    graph["fine model"] = node("CheckpointLoaderSimple", ckpt_name="stage_b.safetensors")
    graph["fine"]["inputs"]["latent_image"] = ["latent", 1]
    graph["decode"]["inputs"]["samples"] = ["fine", 0]
    assert found(graph, "prompt", "seed", "steps", "guidance", "model") == {
        "prompt": ["good.text"],
        "seed": ["sampler.seed", "fine.seed"],
        "steps": ["sampler.steps"],
        "guidance": ["sampler.cfg"],
        "model": ["model.ckpt_name"],
    }


def split(**refiner: Any) -> dict[str, Any]:
    halves = {"steps": 25, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal"}
    links = {"positive": ("good", 0), "negative": ("bad", 0), "latent_image": ("latent", 0), "model": ("model", 0)}
    base = {"add_noise": "enable", "noise_seed": 3, "start_at_step": 0, "end_at_step": 20} | halves | links
    rest = {"add_noise": "disable", "noise_seed": 0, "start_at_step": 20, "end_at_step": 10000} | halves | links
    rest |= {"latent_image": ("base", 0), "model": ("refiner", 0)} | refiner
    return text_to_image(
        base=node("KSamplerAdvanced", **base),
        sampler=node("KSamplerAdvanced", **rest),
        refiner=node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors"),
    )


def test_base_and_refiner_share_what_is_asked_and_hand_over_in_proportion() -> None:
    graph = split(positive=("more", 0)) | {"more": encoder("a cat, sharp")}
    assert found(graph, "prompt", "seed", "steps", "model") == {
        "prompt": ["good.text", "more.text"],
        "seed": ["base.noise_seed", "sampler.noise_seed"],
        "steps": ["base.steps", "sampler.steps", "base.end_at_step*0.8", "sampler.start_at_step*0.8"],
        "model": ["model.ckpt_name"],
    }
    bound = tool.Workflow.parse("x", graph).bind({"steps": 40}).graph
    assert [bound["base"]["inputs"][key] for key in ("steps", "end_at_step")] == [40, 32]
    assert [bound["sampler"]["inputs"][key] for key in ("start_at_step", "end_at_step")] == [32, 10000]


def test_one_step_is_still_made_by_the_first_of_two() -> None:
    bound = tool.Workflow.parse("x", split()).bind({"steps": 1}).graph
    assert bound["base"]["inputs"]["end_at_step"] == 1


def test_split_sigmas_move_with_the_steps() -> None:
    graph = text_to_image(
        sampler=node("SamplerCustomAdvanced", sigmas=("split", 1), guider=("guide", 0), latent_image=("low", 0))
    )
    graph["low"] = node(
        "SamplerCustomAdvanced",
        noise=("noise", 0),
        sigmas=("split", 0),
        guider=("guide", 0),
        latent_image=("latent", 0),
    )
    graph["guide"] = node("CFGGuider", model=("model", 0), positive=("good", 0), negative=("bad", 0), cfg=3.0)
    graph["split"] = node("SplitSigmas", sigmas=("plan", 0), step=6)
    graph["plan"] = node("BasicScheduler", model=("model", 0), scheduler="simple", steps=8, denoise=1.0)
    graph["noise"] = node("RandomNoise", noise_seed=4)
    assert found(graph, "steps", "seed", "guidance", "prompt", "scheduler") == {
        "steps": ["plan.steps", "split.step*0.75"],
        "seed": ["noise.noise_seed"],
        "guidance": ["guide.cfg"],
        "prompt": ["good.text"],
        "scheduler": ["plan.scheduler"],
    }


def hires(**second: Any) -> dict[str, Any]:
    return text_to_image(
        larger=node("LatentUpscale", samples=("sampler", 0), width=2048, height=1536),
        second=sampler(**({"steps": 10, "denoise": 0.5, "seed": 1, "latent_image": ("larger", 0)} | second)),
        decode=node("VAEDecode", samples=("second", 0), vae=("model", 2)),
    )


def test_a_hires_fix_keeps_its_own_schedule() -> None:
    assert found(hires(), "steps", "denoise", "seed", "width", "prompt") == {
        "steps": ["sampler.steps"],
        "denoise": ["sampler.denoise"],
        "seed": ["sampler.seed", "second.seed"],
        "width": ["latent.width"],
        "prompt": ["good.text"],
    }


@pytest.mark.parametrize(("text", "shared"), [("a cat", True), ("", True), ("fine details", False)])
def test_a_second_stage_shares_the_same_text_or_none(text: str, shared: bool) -> None:
    graph = hires(positive=("more", 0)) | {"more": encoder(text)}
    assert found(graph, "prompt") == ["good.text", *(["more.text"] if shared else [])]


def test_a_face_detailer_keeps_its_own_prompt() -> None:
    detailer = {"image": ("decode", 0), "bbox_detector": ("b", 0), "guide_size": 512, "positive": ("face", 0)}
    graph = text_to_image(face=encoder(""), fix=sampler(steps=12, denoise=0.4, seed=9, **detailer))
    graph["fix"]["class_type"] = "FaceDetailer"
    del graph["fix"]["inputs"]["latent_image"]
    graph["save"]["inputs"]["images"] = ["fix", 0]
    assert found(graph, "prompt", "steps", "denoise", "seed", "width") == {
        "prompt": ["good.text"],
        "steps": ["sampler.steps"],
        "denoise": ["sampler.denoise"],
        "seed": ["sampler.seed", "fix.seed"],
        "width": ["latent.width"],
    }


def test_a_sampler_that_only_prepares_a_picture_is_not_the_first_stage() -> None:
    graph = text_to_image(latent=node("VAEEncode", pixels=("seen", 0), vae=("model", 2)))
    graph["seen"] = node("VAEDecode", samples=("depth", 0), vae=("model", 2))
    graph["depth"] = sampler(steps=1, positive=("lotus", 0), negative=("lotus", 0), latent_image=("photo", 0))
    graph |= {"lotus": node("LotusConditioning"), "photo": node("VAEEncode", pixels=("load", 0))}
    graph["load"] = node("LoadImage", image="a.png")
    assert found(graph, "prompt", "steps") == {"prompt": ["good.text"], "steps": ["sampler.steps"]}


# --- several results ---


def twice(**second: Any) -> dict[str, Any]:
    return text_to_image(
        good2=encoder("a cat"),
        latent2=node("EmptyLatentImage", width=1024, height=768, batch_size=1),
        sampler2=sampler(**({"positive": ("good2", 0), "latent_image": ("latent2", 0)} | second)),
        decode2=node("VAEDecode", samples=("sampler2", 0), vae=("model", 2)),
        save2=node("SaveImage", images=("decode2", 0), filename_prefix="y"),
    )


def test_branches_that_hold_the_same_are_set_together() -> None:
    assert found(twice(), "prompt", "seed") == {
        "prompt": ["good.text", "good2.text"],
        "seed": ["sampler.seed", "sampler2.seed"],
    }


def test_of_branches_that_differ_the_first_counts() -> None:
    graph = twice(seed=8) | {"good2": encoder("a dog")}
    assert found(graph, "prompt", "seed") == {"prompt": ["good.text"], "seed": ["sampler.seed"]}


def test_what_feeds_no_output_does_not_count() -> None:
    graph = twice()
    del graph["save2"]
    reordered = {key: graph[key] for key in sorted(graph, key=lambda key: not key.endswith("2"))}
    assert found(reordered, "prompt") == ["good.text"]


def test_what_is_saved_counts_more_than_what_is_only_shown() -> None:
    graph = twice(seed=8)
    graph["save"]["class_type"] = "PreviewImage"
    assert found(graph, "seed") == ["sampler2.seed"]


# --- nodes of other projects, whose definitions are not at hand ---


def test_efficient_nodes() -> None:
    graph = {
        "1": node(
            "Efficient Loader",
            ckpt_name="a.safetensors",
            vae_name="Baked VAE",
            clip_skip=-1,
            lora_name="None",
            positive="a cat",
            negative="ugly",
            empty_latent_width=512,
            empty_latent_height=768,
            batch_size=1,
        ),
        "2": sampler(model=("1", 0), positive=("1", 1), negative=("1", 2), latent_image=("1", 3))
        | {"class_type": "KSampler (Efficient)"},
        "3": node("SaveImage", images=("2", 5)),
    }
    assert found(graph, "prompt", "negative_prompt", "width", "height", "model", "seed") == {
        "prompt": ["1.positive"],
        "negative_prompt": ["1.negative"],
        "width": ["1.empty_latent_width"],
        "height": ["1.empty_latent_height"],
        "model": ["1.ckpt_name"],
        "seed": ["2.seed"],
    }


def test_pipes_are_followed() -> None:
    graph = {
        "1": node(
            "easy fullLoader",
            ckpt_name="a.safetensors",
            positive="a cat",
            negative="ugly",
            empty_latent_width=512,
            empty_latent_height=768,
            batch_size=1,
        ),
        "2": node(
            "easy preSampling",
            pipe=("1", 0),
            steps=20,
            cfg=8.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            seed=3,
        ),
        "3": node("easy kSamplerSimple", pipe=("2", 0), image_output="Hide"),
        "4": node("SaveImage", images=("3", 1)),
    }
    assert found(graph, "prompt", "negative_prompt", "steps", "width", "model") == {
        "prompt": ["1.positive"],
        "negative_prompt": ["1.negative"],
        "steps": ["2.steps"],
        "width": ["1.empty_latent_width"],
        "model": ["1.ckpt_name"],
    }


def test_a_context_passes_everything_on() -> None:
    graph = text_to_image(
        ctx=node(
            "Context (rgthree)", model=("model", 0), positive=("good", 0), negative=("bad", 0), latent=("latent", 0)
        ),
        sampler=sampler(model=("ctx", 1), positive=("ctx", 4), negative=("ctx", 5), latent_image=("ctx", 6)),
    )
    assert found(graph, "prompt", "negative_prompt", "model", "width") == {
        "prompt": ["good.text"],
        "negative_prompt": ["bad.text"],
        "model": ["model.ckpt_name"],
        "width": ["latent.width"],
    }


def test_the_wan_video_wrapper() -> None:
    graph = {
        "1": node("WanVideoModelLoader", model="wan.safetensors", base_precision="bf16"),
        "2": node("WanVideoTextEncode", positive_prompt="a cat", negative_prompt="ugly", t5=("9", 0)),
        "3": node("WanVideoEmptyEmbeds", width=832, height=480, num_frames=81),
        "4": node(
            "WanVideoSampler",
            model=("1", 0),
            text_embeds=("2", 0),
            image_embeds=("3", 0),
            steps=30,
            cfg=6.0,
            seed=1,
            scheduler="unipc",
        ),
        "5": node("WanVideoDecode", samples=("4", 0), vae=("8", 0)),
        "6": node("VHS_VideoCombine", images=("5", 0), frame_rate=16, format="video/h264-mp4"),
        "8": node("WanVideoVAELoader", model_name="vae.safetensors"),
        "9": node("LoadWanVideoT5TextEncoder", model_name="t5.safetensors"),
    }
    names = ("prompt", "negative_prompt", "width", "length", "fps", "model", "steps")
    assert found(graph, *names) == {
        "prompt": ["2.positive_prompt"],
        "negative_prompt": ["2.negative_prompt"],
        "width": ["3.width"],
        "length": ["3.num_frames"],
        "fps": ["6.frame_rate"],
        "model": ["1.model"],
        "steps": ["4.steps"],
    }


def test_an_upscaler_by_tiles_is_a_second_stage() -> None:
    tiles = sampler(steps=8, denoise=0.3, image=("decode", 0), upscale_by=2.0) | {"class_type": "UltimateSDUpscale"}
    del tiles["inputs"]["latent_image"]
    graph = text_to_image(tiles=tiles)
    graph["save"]["inputs"]["images"] = ["tiles", 0]
    assert found(graph, "prompt", "steps", "denoise", "width") == {
        "prompt": ["good.text"],
        "steps": ["sampler.steps"],
        "denoise": ["sampler.denoise"],
        "width": ["latent.width"],
    }


def test_the_batch_of_an_upscaler_by_tiles_is_no_count_of_pictures() -> None:
    tiles = sampler(image=("load", 0), upscale_by=2.0, batch_size=4) | {"class_type": "UltimateSDUpscale"}
    del tiles["inputs"]["latent_image"]
    graph = text_to_image(tiles=tiles, load=node("LoadImage", image="a.png"))
    graph["save"]["inputs"]["images"] = ["tiles", 0]
    assert found(graph, "steps", "batch_size") == {"steps": ["tiles.steps"], "batch_size": []}
    tiles["inputs"]["n"] = 2  # a service that changes a picture makes as many of it
    del tiles["inputs"]["batch_size"]
    assert found(graph, "batch_size") == ["tiles.n"]


def test_the_batch_of_an_upscaler_that_is_no_sampler_is_no_count_either() -> None:
    graph = {
        "1": node("LoadImage", image="a.png"),
        "2": node("SeedVR2VideoUpscaler", image=("1", 0), seed=42, resolution=1080, batch_size=5),
        "3": node("SaveImage", images=("2", 0), filename_prefix="x"),
    }
    assert found(graph, "seed", "batch_size") == {"seed": ["2.seed"], "batch_size": []}


def test_what_a_node_only_shows_is_no_value() -> None:
    graph = text_to_image(
        show=node("easy showAnything", text="euler", anything=("switch", 0)),
        switch=node("Any Switch (rgthree)", any_02=("config", 3)),
        config=node("KSampler Config (rgthree)", sampler_name="dpmpp_2m", steps_total=20),
    )
    graph["sampler"]["inputs"]["sampler_name"] = ["show", 0]
    assert found(graph, "sampler") == ["config.sampler_name"]


def test_an_upscale_without_a_sampler_has_no_parameters() -> None:
    graph = {
        "1": node("LoadImage", image="a.png"),
        "2": node("UpscaleModelLoader", model_name="4x.pth"),
        "3": node("ImageUpscaleWithModel", upscale_model=("2", 0), image=("1", 0)),
        "4": node("SaveImage", images=("3", 0), filename_prefix="x"),
    }
    assert tool.discover(tool.Flow.of(graph, {})) == {}


# --- services: nodes that do it all by themselves ---

SERVICE = {
    "1": node("AnyService", prompt="a cat", negative_prompt="ugly", model="m-1", seed=1, model__duration=5, n=1),
    "2": node("SaveImage", images=("1", 0), filename_prefix="x"),
}


def test_a_service_is_set_by_what_its_inputs_are_called() -> None:
    assert {
        name: [at(target) for target in targets] for name, targets in tool.discover(tool.Flow.of(SERVICE, {})).items()
    } == {
        "prompt": ["1.prompt"],
        "negative_prompt": ["1.negative_prompt"],
        "seed": ["1.seed"],
        "batch_size": ["1.n"],
        "seconds": ["1.model.duration"],
        "model": ["1.model"],
    }


@pytest.mark.parametrize(("preset", "where"), [("2048x2048 (1:1)", []), ("Custom", ["1.width"])])
def test_a_chosen_size_makes_numbers_of_no_account(preset: str, where: list[str]) -> None:
    graph = SERVICE | {"1": node("AnyService", prompt="a cat", size_preset=preset, width=64, height=64)}
    assert found(graph, "width") == where


def test_the_last_service_that_is_asked_something_counts() -> None:
    graph = {
        "1": node("AnyService", prompt="a cat", seed=1),
        "2": node("AnotherService", prompt="it jumps", seed=2, start_image=("1", 0)),
        "3": node("Enhance", prompt="", seed=3, image=("2", 0)),
        "4": node("SaveImage", images=("3", 0)),
    }
    assert found(graph, "prompt", "seed") == {"prompt": ["2.prompt"], "seed": ["2.seed"]}


def test_what_only_writes_is_asked_in_its_own_prompt() -> None:
    graph = {
        "1": node("CLIPLoader", clip_name="llm.safetensors"),
        "2": node("TextGenerate", clip=("1", 0), prompt="Describe it.", max_length=256),
        "3": node("PreviewAny", source=("2", 0)),
    }
    assert found(graph, "prompt") == ["2.prompt"]


def test_a_service_after_a_sampler_keeps_its_empty_prompt() -> None:
    graph = text_to_image(fix=node("Enhance", prompt="", seed=3, image=("decode", 0)))
    graph["save"]["inputs"]["images"] = ["fix", 0]
    assert found(graph, "prompt", "seed") == {"prompt": ["good.text"], "seed": ["sampler.seed"]}


# --- official templates ---

# What a person answers who looks at the graph, by release: "<parameter> <node>.<input> …; …". A parameter of
# `ASKED` that is not mentioned must not be found.
ASKED = (
    "prompt",
    "negative_prompt",
    "lyrics",
    "seed",
    "steps",
    "guidance",
    "width",
    "height",
    "aspect_ratio",
    "length",
    "fps",
    "seconds",
)

ANSWERS = {
    "0.3.64": {
        "2_pass_pose_worship": (
            "prompt 54.text 56.text; negative_prompt 55.text 57.text; seed 50.seed 58.seed; steps 50.steps; "
            "guidance 50.cfg; width 5.width; height 5.height"
        ),
        "area_composition": (
            "prompt 6.text; negative_prompt 7.text 27.text; seed 3.seed 24.seed; steps 3.steps; "
            "guidance 3.cfg; width 5.width; height 5.height"
        ),
        "controlnet_example": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; width 5.width; "
            "height 5.height"
        ),
        "depth_t2i_adapter": (
            "prompt 24.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 5.width; height 5.height"
        ),
        "embedding_example": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; width 5.width; "
            "height 5.height"
        ),
        "lora": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; width 5.width; "
            "height 5.height"
        ),
        "image2image": "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg",
        "inpaint_example": "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg",
        "mixing_controlnets": (
            "prompt 24.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 5.width; height 5.height"
        ),
        "audio_ace_step_1_m2m_editing": (
            "prompt 14.tags; lyrics 14.lyrics; seed 52.seed; steps 52.steps; guidance 52.cfg"
        ),
        "audio_ace_step_1_t2a_instrumentals": (
            "prompt 14.tags; lyrics 14.lyrics; seed 52.seed; steps 52.steps; guidance 52.cfg; seconds 17.seconds"
        ),
        "audio_stable_audio_example": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; seconds 11.seconds"
        ),
        "flux1_dev_uso_reference_image_gen": (
            "prompt 6.text; seed 31.seed; steps 31.steps; guidance 57:35.guidance; width 110.width; height 110.height"
        ),
        "flux_canny_model_example": (
            "prompt 23.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 26.guidance"
        ),
        "flux_fill_inpaint_example": (
            "prompt 23.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 26.guidance"
        ),
        "flux_kontext_dev_basic": "prompt 6.text; seed 31.seed; steps 31.steps; guidance 35.guidance",
        "flux_schnell_full_text_to_image": (
            "prompt 41.clip_l 41.t5xxl; seed 31.seed; steps 31.steps; guidance 41.guidance; width 27.width; "
            "height 27.height"
        ),
        "hidream_e1_1": (
            "prompt 6.text; negative_prompt 7.text; seed 47.noise_seed; steps 49.steps; guidance 53.cfg_conds"
        ),
        "hidream_i1_full": (
            "prompt 91.text; negative_prompt 85.text; seed 93.seed; steps 93.steps; guidance 93.cfg; "
            "width 86.width; height 86.height"
        ),
        "hunyuan_video_text_to_video": (
            "prompt 44.text; seed 25.noise_seed; steps 17.steps; guidance 26.guidance; width 45.width; "
            "height 45.height; length 45.length; fps 79.fps"
        ),
        "image_chroma_text_to_image": (
            "prompt 748.text; negative_prompt 749.text; seed 718.noise_seed; steps 734.steps; "
            "guidance 694.cfg; width 737.width; height 737.height"
        ),
        "image_lotus_depth_v1_1": "steps 20.steps",
        "image_netayume_lumina_t2i": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 13.width; height 13.height"
        ),
        "image_qwen_image_edit": (
            "prompt 76.prompt; negative_prompt 77.prompt; seed 3.seed; steps 3.steps; guidance 3.cfg"
        ),
        "image_to_video_wan": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 50.width; height 50.height; length 50.length; fps 55.fps"
        ),
        "mochi_text_to_video_example": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 21.width; height 21.height; length 21.length; fps 41.fps"
        ),
        "sd3.5_large_blur": (
            "prompt 6.text; seed 3.seed; steps 3.steps; guidance 3.cfg; width 33.width; height 33.height"
        ),
        "text_to_video_wan": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 40.width; height 40.height; length 40.length; fps 49.fps"
        ),
        "video_humo": (
            "prompt 6.text; negative_prompt 7.text; seed 64.seed; steps 64.steps; guidance 64.cfg; "
            "width 65.width; height 65.height; length 65.length; fps 60.fps"
        ),
        "video_wan2.1_fun_camera_v1.1_1.3B": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 57.width; height 57.height; length 57.length; fps 58.fps"
        ),
        "video_wan2_2_14B_i2v": (
            "prompt 93.text; negative_prompt 89.text; seed 86.noise_seed 85.noise_seed; "
            "steps 86.steps 85.steps 86.end_at_step*0.5 85.start_at_step*0.5; guidance 86.cfg 85.cfg; "
            "width 98.width; height 98.height; length 98.length; fps 94.fps"
        ),
        "video_wan2_2_14B_t2v": (
            "prompt 89.text; negative_prompt 72.text; seed 81.noise_seed 78.noise_seed; "
            "steps 81.steps 78.steps 81.end_at_step*0.5 78.start_at_step*0.5; guidance 81.cfg 78.cfg; "
            "width 74.width; height 74.height; length 74.length; fps 88.fps"
        ),
        "video_wan2_2_5B_ti2v": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 55.width; height 55.height; length 55.length; fps 57.fps"
        ),
        "video_wan_vace_inpainting": (
            "prompt 6.text; negative_prompt 7.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 49.width; height 49.height; length 49.length"
        ),
        "3d_hunyuan3d-v2.1": "seed 7.seed; steps 7.steps; guidance 7.cfg",
        "api_stability_ai_sd3.5_t2i": (
            "prompt 6.prompt; negative_prompt 5.value; seed 6.seed; guidance 6.cfg_scale; aspect_ratio 6.aspect_ratio"
        ),
        "api_pika_i2v": (
            "prompt 12.prompt_text; negative_prompt 12.negative_prompt; seed 12.seed; seconds 12.duration"
        ),
        "api_kling_flf": (
            "prompt 46.prompt; negative_prompt 46.negative_prompt; guidance 46.cfg_scale; aspect_ratio 46.aspect_ratio"
        ),
    },
    "0.33.0": {
        "sdxl_refiner_prompt_example": (
            "prompt 6.text 15.text; negative_prompt 7.text 16.text; seed 10.noise_seed 11.noise_seed; "
            "steps 10.steps 11.steps 10.end_at_step*0.8 11.start_at_step*0.8; guidance 10.cfg 11.cfg; "
            "width 5.width; height 5.height"
        ),
        "sdxl_simple_example": (
            "prompt 6.text 15.text; negative_prompt 7.text 16.text; seed 10.noise_seed 11.noise_seed; "
            "steps 10.steps 11.steps 10.end_at_step*0.8 11.start_at_step*0.8; guidance 10.cfg 11.cfg; "
            "width 5.width; height 5.height"
        ),
        "sd3.5_simple_example": (
            "prompt 16.text; negative_prompt 40.text; seed 3.seed; steps 3.steps; guidance 3.cfg; "
            "width 53.width; height 53.height"
        ),
        "sd3.5_large_canny_controlnet_example": (
            "prompt 6.text; seed 3.seed; steps 3.steps; guidance 3.cfg; width 33.width 48.width; "
            "height 33.height 48.height"
        ),
        "flux_depth_lora_example": "prompt 150:23.text; seed 150:3.seed; steps 150:3.steps; guidance 150:26.guidance",
        "flux_kontext_dev_basic": "prompt 192:6.text; seed 192:31.seed; steps 192:31.steps; guidance 192:35.guidance",
        "hidream_e1_full": (
            "prompt 6.text; negative_prompt 7.text; seed 47.noise_seed; steps 49.steps; guidance 53.cfg_conds; "
            "width 44.width; height 44.height"
        ),
        "image_anima_base_v1": (
            "prompt 90:77.text; negative_prompt 90:75.text; seed 90:76.seed; steps 90:79.value; "
            "guidance 90:86.value; aspect_ratio 91.aspect_ratio"
        ),
        "image_chroma1_radiance_text_to_image": (
            "prompt 762:693.text; negative_prompt 762:728.text; seed 762:718.noise_seed; steps 762:751.steps; "
            "guidance 762:694.cfg; width 762:760.width; height 762:760.height"
        ),
        "image_flux2": "prompt 68:6.text; seed 68:25.noise_seed; steps 68:91.value; guidance 68:26.guidance",
        "image_flux2_klein_text_to_image": (
            "prompt 76.value; negative_prompt 75:67.text; seed 75:73.noise_seed; steps 75:62.steps; "
            "guidance 75:63.cfg; width 75:68.value; height 75:69.value"
        ),
        "image_hidream_o1": (
            "prompt 171.value; negative_prompt 188.text; seed 108.noise_seed; steps 112.steps; "
            "guidance 108.cfg; width 156.width; height 156.height"
        ),
        "image_ideogram4_t2i": (
            "prompt 98:24.text; seed 98:18.noise_seed; guidance 98:155.cfg; aspect_ratio 37.aspect_ratio"
        ),
        "image_kandinsky5_t2i": (
            "prompt 12:7.text; negative_prompt 12:2.text; seed 12:8.seed; steps 12:8.steps; guidance 12:8.cfg; "
            "width 12:18.width; height 12:18.height"
        ),
        "image_krea2_turbo_t2i_int8": (
            "prompt 30:19.value; seed 30:3.seed; steps 30:3.steps; guidance 30:3.cfg; aspect_ratio 49.aspect_ratio"
        ),
        "image_mage_flow_edit_int8": (
            "prompt 12:5.prompt; negative_prompt 12:5.negative_prompt; seed 12:6.seed; steps 12:6.steps; "
            "guidance 12:6.cfg"
        ),
        "image_newbieimage_exp0_1-t2i": (
            "prompt 48.value; negative_prompt 41:49.text; seed 41:3.seed; steps 41:3.steps; guidance 41:3.cfg; "
            "width 41:31.width; height 41:31.height"
        ),
        "image_omnigen2_t2i": (
            "prompt 42:6.text; negative_prompt 42:7.text; seed 42:21.noise_seed; steps 42:23.steps; "
            "guidance 42:27.cfg_conds; width 42:11.width; height 42:11.height"
        ),
        "image_qwen_Image_2512": (
            "prompt 238:227.text; negative_prompt 238:228.text; seed 238:230.seed; steps 238:224.value; "
            "guidance 238:223.value; width 238:232.width; height 238:232.height"
        ),
        "image_qwen_image_edit_2511": (
            "prompt 170:151.prompt; negative_prompt 170:149.prompt; seed 170:169.seed; steps 170:166.value; "
            "guidance 170:154.value"
        ),
        "image_qwen_image_instantx_controlnet": (
            "prompt 111:6.text; negative_prompt 111:7.text; seed 111:3.seed; steps 111:3.steps; guidance 111:3.cfg"
        ),
        "image_z_image_turbo": (
            "prompt 57:27.text; seed 57:3.seed; steps 57:3.steps; guidance 57:3.cfg; width 57:13.width; "
            "height 57:13.height"
        ),
        "ltxv_image_to_video": (
            "prompt 6.text; negative_prompt 7.text; seed 72.noise_seed; steps 71.steps; guidance 72.cfg; "
            "width 77.width; height 77.height; length 77.length; fps 80.fps 69.frame_rate"
        ),
        "ltxv_text_to_video": (
            "prompt 6.text; negative_prompt 7.text; seed 72.noise_seed; steps 71.steps; guidance 72.cfg; "
            "width 70.width; height 70.height; length 70.length; fps 78.fps 69.frame_rate"
        ),
        "video_ltx2_3_t2v": (
            "prompt 267:266.value; negative_prompt 267:247.text; seed 267:237.noise_seed 267:216.noise_seed; "
            "guidance 267:231.cfg 267:213.cfg; width 267:257.value; height 267:258.value; fps 267:260.value; "
            "seconds 267:225.value"
        ),
        "video_ltx2_t2v_distilled": (
            "prompt 177:109.value; seed 177:123.noise_seed 177:118.noise_seed; "
            "guidance 177:127.cfg 177:124.cfg; width 177:131.width; height 177:131.height; "
            "length 177:113.value; fps 177:112.value 177:106.value"
        ),
        "video_ltx2_i2v_distilled": (
            "prompt 92:3.text; seed 92:11.noise_seed 92:67.noise_seed; guidance 92:47.cfg 92:82.cfg; "
            "width 102.resize_type.width; height 102.resize_type.height; length 92:62.value; "
            "fps 92:97.fps 92:22.frame_rate 92:51.frame_rate"
        ),
        "video_ltx2_3_ic_lora": (
            "prompt 129:211.on_false; negative_prompt 129:112.text; seed 129:704.seed; steps 129:704.steps; "
            "guidance 129:704.cfg; width 129:113.value; height 129:98.value; fps 129:114.value"
        ),
        "video_hunyuan_video_1.5_720p_t2v": (
            "prompt 44.text; negative_prompt 93.text; seed 129.noise_seed; steps 128.steps; guidance 131.cfg; "
            "width 124.width; height 124.height; length 124.length; fps 101.fps"
        ),
        "video_hunyuan_video_1.5_720p_i2v": (
            "prompt 44.text; negative_prompt 93.text; seed 127.noise_seed; steps 126.steps; guidance 129.cfg; "
            "width 78.width; height 78.height; length 78.length; fps 101.fps"
        ),
        "video_wan2_2_14B_t2v": (
            "prompt 128:89.text; negative_prompt 128:72.text; seed 128:81.noise_seed 128:78.noise_seed; "
            "steps 128:114.value 128:115.value*0.5; guidance 128:116.value; width 128:74.width; "
            "height 128:74.height; fps 128:125.value; seconds 128:126.value"
        ),
        "video_bernini_r_video_editing": (
            "prompt 298:297.value; negative_prompt 298:267.text; seed 298:275.noise_seed 298:277.noise_seed; "
            "steps 298:286.value 298:289.value*0.5; guidance 298:292.value; width 298:278.width; "
            "height 298:278.height"
        ),
        "video_wanmove_480p": (
            "prompt 257:151.text; negative_prompt 257:34.text; seed 257:144.seed; steps 257:263.value; "
            "guidance 257:264.value; width 228.width; height 228.height; "
            "length 257:195.length 244.num_frames 245.num_frames 246.num_frames; fps 257:234.fps"
        ),
        "video_minimax_h3_i2v": (
            "prompt 105:104.prompt; seed 105:15.noise_seed; steps 105:124.value; "
            "aspect_ratio 115.aspect_ratio; fps 105:91.fps; seconds 105:111.value"
        ),
        "utility_void_video_inpainting": (
            "prompt 167:6.text; negative_prompt 167:7.text; seed 167:141.noise_seed; "
            "steps 167:138.steps 167:137.steps; guidance 167:140.cfg 167:136.cfg; width 167:147.value; "
            "height 167:148.value"
        ),
        "utility_seedvr2_3b_int8_upscale_image": "seed 66:54.seed; steps 66:54.steps; guidance 66:54.cfg",
        "utility-gan_upscaler": "",
        "audio_ace_step_1_5_split": (
            "prompt 94.tags; lyrics 94.lyrics; seed 3.seed 94.seed; steps 3.steps; guidance 3.cfg; "
            "seconds 98.seconds 94.duration"
        ),
        "audio_ace_step_1_5_split_llm": (
            "prompt 11.prompt; seed 2:3.seed 2:94.seed; steps 2:3.steps; guidance 2:3.cfg; seconds 2:110.value"
        ),
        "audio_minimax_music_3": (
            "prompt 37:13.caption; lyrics 37:13.lyrics; seed 37:38.seed; steps 37:9.steps; guidance 37:9.cfg; "
            "seconds 37:13.max_duration"
        ),
        "audio_stable_audio_3_medium": (
            "prompt 52:31.value; negative_prompt 52:7.text; seed 52:3.seed; steps 52:3.steps; "
            "guidance 52:3.cfg; seconds 52:36.value"
        ),
        "api_seedance2_5_t2v": (
            "prompt 9.model.prompt; seed 9.seed; aspect_ratio 9.model.ratio; seconds 9.model.duration"
        ),
        "api_wan_text_to_image": (
            "prompt 12.prompt; negative_prompt 12.negative_prompt; seed 12.seed; width 12.width; height 12.height"
        ),
        "api_elevenlabs_text_to_dialogue": "prompt 218.inputs.text1; seed 218.seed",
        "api_bria_image_edit": (
            "prompt 3.prompt; negative_prompt 3.negative_prompt; seed 3.seed; steps 3.steps; guidance 3.guidance_scale"
        ),
        "llm_qwen3_5_text_gen": "prompt 3.prompt; seed 3.sampling_mode.seed",
        "template_sugar_coated_gummy_style_qwen": (
            "prompt 76:80.string_a; negative_prompt 76:7.text; seed 76:3.seed; steps 76:3.steps; "
            "guidance 76:3.cfg; width 76:58.width; height 76:58.height"
        ),
        "templates-all_in_one-image_edit_models": (
            "prompt 22.value; negative_prompt 3:87.text 128:9.prompt; seed 3:73.noise_seed; steps 3:62.steps; "
            "guidance 3:63.cfg"
        ),
        "templates-product_ad-v2.0": "prompt 15.value; seed 3.seed; aspect_ratio 3.aspect_ratio",
        "templates_3d_match_game_art_style.app": "prompt 22.value; seed 8.seed; aspect_ratio 8.aspect_ratio",
        "template_seedance2_storyboard_to_video": "prompt 4.prompt; seed 1.seed",
    },
}


def official(release: str, name: str) -> tool.Workflow:
    try:
        return tool.Workflow.parse(name, converted(release, name), classes(release))
    except tool.WorkflowRefused as refused:
        pytest.skip(refused.message)


@pytest.mark.parametrize(("release", "name"), [(release, name) for release in ANSWERS for name in ANSWERS[release]])
def test_official_templates_are_read_as_a_person_reads_them(release: str, name: str) -> None:
    parameters = official(release, name).parameters
    answer = dict(part.split(" ", 1) for part in ANSWERS[release][name].split("; ") if part)
    assert {key: " ".join(map(at, parameters[key])) for key in ASKED if key in parameters} == answer


def test_official_templates_are_read_the_same_without_definitions() -> None:
    differing = []
    for release, name in every_template():
        with contextlib.suppress(tool.WorkflowRefused):
            graph = converted(release, name)
            if tool.discover(tool.Flow.of(graph, {})) != tool.discover(tool.Flow.of(graph, classes(release))):
                differing.append(name)
    # Stale ones, with a text where their class has a number by now: only a definition tells that it may be set.
    assert differing == ["api_moonvalley_video_to_video_motion_transfer", "api_rodin_gen2"]


# --- whatever a graph holds ---


@given(st.dictionaries(st.text(max_size=3), st.one_of(ANYTHING, NODES)), DEFINITIONS)
def test_nothing_in_a_graph_raises(graph: Any, definitions: Any) -> None:
    tool.discover(tool.Flow.of(graph, definitions))


@pytest.mark.parametrize(("links", "classes"), [(3, CLASSES), (20, CLASSES), (20, ["KSampler", "SaveImage"])])
def test_large_and_dense_graphs_are_read_in_linear_time(links: int, classes: list[str]) -> None:
    rng = random.Random(links)
    graph = {}
    for index in range(5000):
        links_of = {f"{rng.choice(NAMES)}{slot}": (str(rng.randrange(index + 1)), slot % 3) for slot in range(links)}
        plain_names = {rng.choice(NAMES): (str(rng.randrange(5000)), 0) for _ in range(3)}
        graph[str(index)] = node(rng.choice(classes), **({"seed": index, "text": "x"} | links_of | plain_names))
    began = time.process_time()
    tool.discover(tool.Flow.of(graph, {}))
    assert time.process_time() - began < 20  # one or two at rest; what is not linear takes minutes


def test_long_chains_of_samplers_are_read_in_linear_time() -> None:
    graph = {
        str(index): sampler(latent_image=(str(index - 1), 0), positive=("p", 0), negative=("n", 0))
        for index in range(5000)
    }
    graph |= {f"save{index}": node("SaveImage", images=(str(index), 0)) for index in range(5000)}
    graph |= {"p": encoder("a cat"), "n": encoder("ugly")}
    began = time.process_time()
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["p.text"], "negative_prompt": ["n.text"]}
    assert time.process_time() - began < 20

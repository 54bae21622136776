"""Room 3: which widgets of a graph are the prompt, the seed, the size …, found with nothing mapped by hand."""

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.conversion import definitions, digests, parsed, template

Nodes = dict[str, Any]


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """A node of a graph; a tuple is a link."""
    held = {
        name.replace("__", "."): list(value) if isinstance(value, tuple) else value for name, value in inputs.items()
    }
    return {"class_type": class_type, "inputs": held} | ({"_meta": {"title": title}} if title else {})


def encoder(text: Any, **inputs: Any) -> dict[str, Any]:
    return node("CLIPTextEncode", text=text, clip=("model", 1), **inputs)


def sampler(**inputs: Any) -> dict[str, Any]:
    usual = {"seed": 7, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ("model", 0), "positive": ("good", 0), "negative": ("bad", 0), "latent_image": ("latent", 0)}
    return node("KSampler", **(usual | links | inputs))


def plain(**nodes: Any) -> Nodes:
    """A checkpoint, a sampler and what they need, with these nodes added or put in their place."""
    return {
        "model": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "good": encoder("a cat"),
        "bad": encoder("ugly"),
        "latent": node("EmptyLatentImage", width=1024, height=768, batch_size=1),
        "sampler": sampler(),
        "decode": node("VAEDecode", samples=("sampler", 0), vae=("model", 2)),
        "save": node("SaveImage", images=("decode", 0), filename_prefix="x"),
    } | nodes


def at(target: tool.Target) -> str:
    part = f"*{target.part:g}" if target.part != 1 else ""
    return f"{target.node_id}.{target.input}{part}{target.token and ' ' + target.token}"


def found(graph: Nodes, *names: str, known: Any = None) -> Any:
    """Where a parameter is, or for several names where each is."""
    workflow = tool.Workflow.parse("x", graph, known or {})
    where = {name: [at(target) for target in workflow.parameters.get(name, ())] for name in names}
    return where[names[0]] if len(names) == 1 else where


# --- what the author named ---


@pytest.mark.parametrize("title", ["param: style", "Param:style", "PARAM : Style"])
def test_a_title_names_a_parameter_of_any_name(title: str) -> None:
    assert found(plain(mine=node("PrimitiveString", title, value="oil")), "style") == ["mine.value"]


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
    graph = plain(own=node("MyText", title, text="x"), join=node("Join", a=("own", 0), b="!"))
    graph["good"]["inputs"]["text"] = ["join", 0]
    assert found(graph, name) == ["own.text"]


@pytest.mark.parametrize("title", ["Steps", "Int (Steps)", "steps (INT)"])
def test_a_titled_number_counts(title: str) -> None:
    graph = plain(own=node("PrimitiveInt", title, value=9), sampler=sampler(steps=("twice", 0)))
    graph["twice"] = node("Math", a=("own", 0), b=2)
    assert found(graph, "steps") == ["own.value"]


def test_a_title_picks_the_input_of_its_name() -> None:
    graph = plain()
    graph["sampler"]["_meta"] = {"title": "param: cfg"}
    assert found(graph, "guidance") == ["sampler.cfg"]


def test_a_titled_encoder_is_followed_to_its_text() -> None:
    graph = plain(good=encoder(("own", 0)) | {"_meta": {"title": "Positive"}}, own=node("MyText", text="a cat"))
    assert found(graph, "prompt") == ["own.text"]


def test_a_title_on_a_node_that_cannot_hold_it_means_nothing() -> None:
    graph = plain(picture=node("LoadImage", "Prompt", image="x.png"))
    assert found(graph, "prompt") == ["good.text"]


def test_a_named_parameter_is_not_traced_too() -> None:
    graph = plain(good=encoder("a cat") | {"_meta": {"title": "param: prompt"}}, second=sampler())
    graph["second"]["inputs"] |= {"latent_image": ["sampler", 0], "positive": ["other", 0]}
    graph |= {"other": encoder("a cat"), "decode": node("VAEDecode", samples=("second", 0))}
    assert found(graph, "prompt") == ["good.text"]


def test_two_titles_before_a_switch_mean_the_one_that_it_lets_through() -> None:
    graph = plain(fast=node("PrimitiveInt", "Steps", value=4), slow=node("PrimitiveInt", "Steps", value=20))
    graph["turbo"] = node("PrimitiveBoolean", value=False)
    graph["pick"] = node("ComfySwitchNode", switch=("turbo", 0), on_true=("fast", 0), on_false=("slow", 0))
    graph["sampler"]["inputs"]["steps"] = ["pick", 0]
    assert found(graph, "steps") == ["slow.value"]


# --- placeholders ---

TAVERN = plain(
    good=encoder("masterpiece, %prompt%, 8k"),
    bad=encoder("%negative_prompt%"),
    sampler=sampler(seed="%seed%", steps="%steps%", cfg="%scale%", sampler_name="%sampler%"),
    latent=node("EmptyLatentImage", width="%width%", height="%height%", batch_size=1),
)


def test_placeholders_are_parameters() -> None:
    assert found(TAVERN, "prompt", "negative_prompt", "seed", "guidance", "width") == {
        "prompt": ["good.text %prompt%"],
        "negative_prompt": ["bad.text %negative_prompt%"],
        "seed": ["sampler.seed %seed%"],
        "guidance": ["sampler.cfg %scale%"],
        "width": ["latent.width %width%"],
    }


def test_a_placeholder_gives_way_to_the_value_and_the_text_around_it_stays() -> None:
    bound = tool.Workflow.parse("x", TAVERN).bind({"prompt": "a %seed% fox", "seed": 5, "cfg": 6.5})
    inputs = bound.graph["sampler"]["inputs"]
    assert bound.graph["good"]["inputs"]["text"] == "masterpiece, a %seed% fox, 8k"
    assert (inputs["seed"], inputs["cfg"], inputs["steps"]) == (5, 6.5, "%steps%")
    assert (bound.value("prompt"), bound.value("steps")) == ("a %seed% fox", None)


def test_values_can_be_bound_one_after_the_other_and_anew() -> None:
    workflow = tool.Workflow.parse("x", plain(good=encoder("{{prompt}} in {{ style }}, %%MOOD%%")))
    bound = workflow.bind({"prompt": "a cat"}).bind({"style": "oil"}).bind({"prompt": "a dog", "mood": "calm"})
    assert bound.graph["good"]["inputs"]["text"] == "a dog in oil, calm"


def test_a_bound_value_is_no_placeholder_itself() -> None:
    bound = tool.Workflow.parse("x", plain(good=encoder("{{prompt}} {{style}}"))).bind(
        {"prompt": "{{style}}", "style": "oil"}
    )
    assert bound.graph["good"]["inputs"]["text"] == "{{style}} oil"


def test_what_nobody_bound_gives_way_to_the_default_or_to_nothing() -> None:
    known = {
        "KSampler": tool.NodeDefinition(
            "KSampler",
            {
                "seed": tool.InputSpec("INT", 0),
                "steps": tool.InputSpec("INT", 1, default=25),
                "sampler_name": tool.InputSpec("COMBO", choices=("euler",), default="euler"),
            },
        )
    }
    workflow = tool.Workflow.parse("x", TAVERN).bind({"steps": 9})
    filled = workflow.filled(known).graph
    assert filled["good"]["inputs"]["text"] == "masterpiece, , 8k"
    assert {key: filled["sampler"]["inputs"][key] for key in ("seed", "steps", "sampler_name")} == {
        "seed": 0,
        "steps": 9,
        "sampler_name": "euler",
    }
    assert set(workflow.open) == {
        "prompt",
        "negative_prompt",
        "seed",
        "guidance",
        "sampler",
        "width",
        "height",
    }


@pytest.mark.parametrize(
    "text", ["100%", "50% gray, 20% red", "%year%", "%KSampler.seed%", "{{ a | b }}", "%%", "{a|b}"]
)
def test_what_only_looks_like_a_placeholder_is_none(text: str) -> None:
    workflow = tool.Workflow.parse("x", plain(good=encoder(text)))
    assert workflow.templates == {}
    assert workflow.filled().graph["good"]["inputs"]["text"] == text


def test_what_comfyui_itself_puts_into_file_names_is_left_to_it() -> None:
    save = node("SaveImage", images=("decode", 0), filename_prefix="%date:yyyy%/%width%x%height%_%seed%")
    assert tool.Workflow.parse("x", plain(save=save)).templates == {}


def test_what_a_node_of_the_graph_replaces_is_no_placeholder() -> None:
    graph = plain(good=encoder(("fill", 0)), frame=node("PrimitiveString", value="a photo of {{thing}}"))
    graph["fill"] = node("StringReplace", string=("frame", 0), find="{{thing}}", replace=("own", 0))
    graph["own"] = node("PrimitiveString", value="a cat")
    assert tool.Workflow.parse("x", graph).templates == {}
    assert found(graph, "prompt") == ["own.value"]


# --- conditioning ---


def test_a_split_after_the_sides_met_is_kept_apart() -> None:
    graph = plain(control=node("ControlNetApplyAdvanced", positive=("good", 0), negative=("bad", 0), image=("x", 0)))
    graph["sampler"]["inputs"] |= {"positive": ["control", 0], "negative": ["control", 1]}
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["good.text"], "negative_prompt": ["bad.text"]}


def test_what_follows_a_zeroed_conditioning_is_no_negative_prompt() -> None:
    graph = plain(bad=node("ConditioningZeroOut", conditioning=("good", 0)))
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["good.text"], "negative_prompt": []}


def test_a_text_that_feeds_both_sides_is_the_prompt() -> None:
    graph = plain(good=encoder(("own", 0)), bad=encoder(("own", 0)), own=node("PrimitiveString", value="x"))
    assert found(graph, "prompt", "negative_prompt") == {"prompt": ["own.value"], "negative_prompt": []}


def test_of_combined_texts_the_one_for_the_whole_picture_is_the_prompt() -> None:
    graph = plain(sky=encoder("sky"), sea=encoder("sea"))
    graph["area"] = node("ConditioningSetArea", conditioning=("sky", 0), width=64, height=64, x=0, y=0, strength=1)
    graph["mask"] = node("ConditioningSetMask", conditioning=("sea", 0), mask=("m", 0))
    graph["parts"] = node("ConditioningCombine", conditioning_1=("area", 0), conditioning_2=("mask", 0))
    graph["all"] = node("ConditioningCombine", conditioning_1=("parts", 0), conditioning_2=("good", 0))
    graph["sampler"]["inputs"]["positive"] = ["all", 0]
    assert found(graph, "prompt") == ["good.text"]


def test_of_equal_texts_the_first_is_the_prompt() -> None:
    graph = plain(more=encoder("grain"))
    graph["all"] = node("ConditioningConcat", conditioning_from=("more", 0), conditioning_to=("good", 0))
    graph["sampler"]["inputs"]["positive"] = ["all", 0]
    assert found(graph, "prompt") == ["good.text"]


def test_all_texts_of_an_encoder_are_set_together() -> None:
    graph = plain(good=node("CLIPTextEncodeSDXL", text_g="a cat", text_l="", clip=("model", 1), width=1024, height=768))
    assert found(graph, "prompt") == ["good.text_g", "good.text_l"]


def test_lyrics_are_not_the_prompt() -> None:
    graph = plain(good=node("TextEncodeAceStepAudio", tags="pop", lyrics="la la", clip=("model", 1)))
    graph["latent"] = node("EmptyAceStepLatentAudio", seconds=30.0, batch_size=1)
    assert found(graph, "prompt", "lyrics", "seconds") == {
        "prompt": ["good.tags"],
        "lyrics": ["good.lyrics"],
        "seconds": ["latent.seconds"],
    }


# --- texts over links ---


def test_a_text_is_followed_over_what_shows_it_and_what_turns_it_on() -> None:
    graph = plain(good=encoder(("show", 0)), show=node("ShowText|pysssss", text=("pick", 0), text_0="shown before"))
    graph["pick"] = node("Any Switch (rgthree)", any_01=("own", 0), any_02=("other", 0))
    graph |= {"own": node("Text Multiline", text="a cat"), "other": node("Text Multiline", text="a dog")}
    assert found(graph, "prompt") == ["own.text"]


def test_a_joined_text_is_set_where_a_person_types_it() -> None:
    graph = plain(good=encoder(("join", 0)))
    graph["join"] = node("StringConcatenate", string_a=("system", 0), string_b=("user", 0), delimiter="")
    graph["system"] = node("PrimitiveStringMultiline", "System Prompt", value="You are a painter.")
    graph["user"] = node("PrimitiveStringMultiline", "User Prompt", value="a cat")
    graph["user"]["_meta"]["title"] = "What the user wants"
    assert found(graph, "prompt") == ["user.value"]


def test_behind_an_enhancer_stands_the_prompt_that_it_enhances() -> None:
    graph = plain(good=encoder(("more", 0)), own=node("PrimitiveString", value="a cat"))
    graph["more"] = node("TextGenerate", prompt=("own", 0), clip=("model", 1), system_prompt="Be vivid.")
    assert found(graph, "prompt") == ["own.value"]


def test_an_enhancer_may_hold_the_prompt_itself() -> None:
    graph = plain(good=encoder(("more", 0)), more=node("TextGenerate", prompt="a cat", clip=("model", 1)))
    assert found(graph, "prompt") == ["more.prompt"]


def test_a_prompt_styler_gives_both_sides() -> None:
    graph = plain(good=encoder(("style", 0)), bad=encoder(("style", 1)))
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
    graph = plain(number=node(class_type, **{key: 5}), sampler=sampler(seed=("number", 0)))
    assert found(graph, "seed") == [f"number.{key}"]


def test_a_number_is_not_traced_through_arithmetic() -> None:
    graph = plain(number=node("PrimitiveInt", value=5), sampler=sampler(steps=("twice", 0)))
    graph["twice"] = node("ComfyMathExpression", expression="a * 2", values__a=("number", 0))
    assert found(graph, "steps") == []
    graph["twice"]["inputs"]["expression"] = "a"
    assert found(graph, "steps") == ["number.value"]


# --- guidance, size, model ---


def test_embedded_guidance_wins_over_cfg() -> None:
    graph = plain(flux=node("FluxGuidance", guidance=3.5, conditioning=("good", 0)), sampler=sampler(cfg=1.0))
    graph["sampler"]["inputs"]["positive"] = ["flux", 0]
    assert found(graph, "guidance") == ["flux.guidance"]


def test_nodes_that_hold_the_size_of_the_picture_follow_it() -> None:
    graph = plain(flux=node("ModelSamplingFlux", model=("model", 0), max_shift=1.1, width=1024, height=768))
    graph["sampler"]["inputs"]["model"] = ["flux", 0]
    graph["good"] = node(
        "CLIPTextEncodeSDXL", text_g="a", text_l="a", width=1024, height=768, target_width=1024, target_height=768
    )
    widths = {"latent.width", "flux.width", "good.width", "good.target_width"}
    assert set(found(graph, "width")) == widths
    assert found(graph, "width")[0] == "latent.width"


def test_a_picture_that_is_scaled_before_it_is_encoded_has_its_size_there() -> None:
    graph = plain(latent=node("VAEEncode", pixels=("scale", 0), vae=("model", 2)))
    graph |= {
        "scale": node("ImageScale", image=("load", 0), width=512, height=640),
        "load": node("LoadImage", image="a"),
    }
    assert found(graph, "width", "height") == {"width": ["scale.width"], "height": ["scale.height"]}
    graph["scale"]["inputs"]["height"] = 0
    assert found(graph, "width") == []


def test_the_model_is_found_behind_loras() -> None:
    graph = plain(lora=node("LoraLoader", model=("model", 0), clip=("model", 1), lora_name="l.safetensors"))
    graph["sampler"]["inputs"]["model"] = ["lora", 0]
    assert found(graph, "model") == ["model.ckpt_name"]


# --- two stages ---


def split(**refiner: Any) -> Nodes:
    halves = {"steps": 25, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal"}
    links = {"positive": ("good", 0), "negative": ("bad", 0), "latent_image": ("latent", 0), "model": ("model", 0)}
    base = {"add_noise": "enable", "noise_seed": 3, "start_at_step": 0, "end_at_step": 20} | halves | links
    rest = {"add_noise": "disable", "noise_seed": 0, "start_at_step": 20, "end_at_step": 10000} | halves | links
    rest |= {"latent_image": ("base", 0), "model": ("refiner", 0)} | refiner
    return plain(
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
    graph = plain(
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


def hires(**second: Any) -> Nodes:
    return plain(
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
    graph = plain(face=encoder(""), fix=sampler(steps=12, denoise=0.4, seed=9, **detailer))
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
    graph = plain(latent=node("VAEEncode", pixels=("seen", 0), vae=("model", 2)))
    graph["seen"] = node("VAEDecode", samples=("depth", 0), vae=("model", 2))
    graph["depth"] = sampler(steps=1, positive=("lotus", 0), negative=("lotus", 0), latent_image=("photo", 0))
    graph |= {"lotus": node("LotusConditioning"), "photo": node("VAEEncode", pixels=("load", 0))}
    graph["load"] = node("LoadImage", image="a.png")
    assert found(graph, "prompt", "steps") == {"prompt": ["good.text"], "steps": ["sampler.steps"]}


# --- several results ---


def twice(**second: Any) -> Nodes:
    return plain(
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
    graph = plain(
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
    graph = plain(tiles=tiles)
    graph["save"]["inputs"]["images"] = ["tiles", 0]
    assert found(graph, "prompt", "steps", "denoise", "width") == {
        "prompt": ["good.text"],
        "steps": ["sampler.steps"],
        "denoise": ["sampler.denoise"],
        "width": ["latent.width"],
    }


def test_an_upscale_without_a_sampler_has_no_parameters() -> None:
    graph = {
        "1": node("LoadImage", image="a.png"),
        "2": node("UpscaleModelLoader", model_name="4x.pth"),
        "3": node("ImageUpscaleWithModel", upscale_model=("2", 0), image=("1", 0)),
        "4": node("SaveImage", images=("3", 0), filename_prefix="x"),
    }
    assert tool.discover(graph) == {}


# --- every widget by name ---


def test_every_widget_has_a_name() -> None:
    workflow = tool.Workflow.parse("x", plain(second=sampler() | {"_meta": {"title": 'My "own" v1.5'}}))
    assert [name for name in workflow.widgets if name.startswith(("EmptyLatent", "CLIP"))] == [
        "CLIPTextEncode (good).text",
        "CLIPTextEncode (bad).text",
        "EmptyLatentImage.width",
        "EmptyLatentImage.height",
        "EmptyLatentImage.batch_size",
    ]
    assert workflow.widgets["My 'own' v1.5.steps"] == tool.Target("second", "steps")
    assert workflow.names[: len(workflow.parameters)] == tuple(workflow.parameters)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("steps", "sampler.steps"),
        ("Batch Size", "latent.batch_size"),
        ("CFG", "sampler.cfg"),
        ("negative", "bad.text"),
        ("ckpt name", "model.ckpt_name"),
        ("big canvas.width", "latent.width"),
        ("emptylatentimage.height", "latent.height"),
        ("SAMPLER.steps", "sampler.steps"),
        ("save.filename prefix", "save.filename_prefix"),
        ("CLIPTextEncode (bad).text", "bad.text"),
        ("CLIPTextEncode.text", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_a_name_is_found_however_it_is_spelt(name: str, where: str | None) -> None:
    graph = plain()
    graph["latent"]["_meta"] = {"title": "Big Canvas"}
    targets = tool.Workflow.parse("x", graph).find(name)
    assert (at(targets[0]) if targets else None) == where


def test_any_name_can_be_bound_and_an_unknown_one_is_refused_with_the_closest() -> None:
    workflow = tool.Workflow.parse("x", plain())
    assert workflow.bind({"SaveImage.filename_prefix": "y"}).graph["save"]["inputs"]["filename_prefix"] == "y"
    with pytest.raises(tool.BadArgument, match="stepps") as refused:
        workflow.bind({"stepps": 3})
    assert '"steps"' in refused.value.hint


def test_a_name_tells_what_it_takes() -> None:
    spec = tool.InputSpec("INT", 1, 100)
    known = {"KSampler": tool.NodeDefinition("KSampler", {"steps": spec})}
    graph = plain(good=encoder("{{prompt}}!"), sampler=sampler(steps="{{steps}}"))
    workflow = tool.Workflow.parse("x", graph)
    assert workflow.spec("steps", known) == workflow.spec("KSampler.steps", known) == spec
    assert workflow.spec("prompt", known) == workflow.spec("seed", {}) == tool.InputSpec("STRING")

"""A workflow as a value: names set widgets, placeholders give way to what is bound, and nothing else changes."""

import contextlib
import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support.conversion import classes, converted, every_template
from tests.support.graphs import at, bundled, encoder, found, node, sampler, text_to_image
from tests.support.odd_graphs import DEFINITIONS, GRAPHS


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


# --- placeholders ---

TAVERN = text_to_image(
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
    workflow = tool.Workflow.parse("x", text_to_image(good=encoder("{{prompt}} in {{ style }}, %%MOOD%%")))
    bound = workflow.bind({"prompt": "a cat"}).bind({"style": "oil"}).bind({"prompt": "a dog", "mood": "calm"})
    assert bound.graph["good"]["inputs"]["text"] == "a dog in oil, calm"


def test_a_bound_value_is_no_placeholder_itself() -> None:
    bound = tool.Workflow.parse("x", text_to_image(good=encoder("{{prompt}} {{style}}"))).bind(
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
    filled = replace(workflow, definitions=known).filled().graph
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
    workflow = tool.Workflow.parse("x", text_to_image(good=encoder(text)))
    assert workflow.templates == {}
    assert workflow.filled().graph["good"]["inputs"]["text"] == text


def test_what_comfyui_itself_puts_into_file_names_is_left_to_it() -> None:
    save = node("SaveImage", images=("decode", 0), filename_prefix="%date:yyyy%/%width%x%height%_%seed%")
    assert tool.Workflow.parse("x", text_to_image(save=save)).templates == {}


def test_what_a_node_of_the_graph_replaces_is_no_placeholder() -> None:
    graph = text_to_image(good=encoder(("fill", 0)), frame=node("PrimitiveString", value="a photo of {{thing}}"))
    graph["fill"] = node("StringReplace", string=("frame", 0), find="{{thing}}", replace=("own", 0))
    graph["own"] = node("PrimitiveString", value="a cat")
    assert tool.Workflow.parse("x", graph).templates == {}
    assert found(graph, "prompt") == ["own.value"]


def test_what_is_a_placeholder_in_one_text_is_none_in_a_name_that_holds_the_same() -> None:
    text = "%%X%%%steps%"
    graph = {"1": {"class_type": "LoadAudio", "inputs": {"model": text, "model_negative": text}}}
    bound = tool.Workflow.parse("x", graph).bind({"steps": 7}).graph["1"]["inputs"]
    assert bound == {"model": text, "model_negative": "%%X%%7"}


# --- every widget by name ---


def test_every_widget_has_a_name() -> None:
    workflow = tool.Workflow.parse("x", text_to_image(second=sampler() | {"_meta": {"title": 'My "own" v1.5'}}))
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
    graph = text_to_image()
    graph["latent"]["_meta"] = {"title": "Big Canvas"}
    targets = tool.Workflow.parse("x", graph).find(name)
    assert (at(targets[0]) if targets else None) == where


def test_any_name_can_be_bound_and_an_unknown_one_is_refused_with_the_closest() -> None:
    workflow = tool.Workflow.parse("x", text_to_image())
    assert workflow.bind({"SaveImage.filename_prefix": "y"}).graph["save"]["inputs"]["filename_prefix"] == "y"
    with pytest.raises(tool.BadArgument, match="stepps") as refused:
        workflow.bind({"stepps": 3})
    assert '"steps"' in refused.value.hint


def test_a_linked_number_has_the_range_of_the_input_that_it_feeds() -> None:
    graph = text_to_image(number=node("PrimitiveInt", "Steps", value=5), sampler=sampler(steps=("number", 0)))
    spec = tool.InputSpec("INT", 1, 100)
    known = {
        "KSampler": tool.NodeDefinition("KSampler", {"steps": spec}),
        "PrimitiveInt": tool.NodeDefinition("PrimitiveInt", {"value": tool.InputSpec("INT")}),
    }
    workflow = replace(tool.Workflow.parse("x", graph), definitions=known)
    assert workflow.spec("steps") == spec


def test_a_name_tells_what_it_takes() -> None:
    spec = tool.InputSpec("INT", 1, 100)
    known = {"KSampler": tool.NodeDefinition("KSampler", {"steps": spec})}
    graph = text_to_image(good=encoder("{{prompt}}!"), sampler=sampler(steps="{{steps}}"))
    undefined = tool.Workflow.parse("x", graph)
    workflow = replace(undefined, definitions=known)
    assert workflow.spec("steps") == workflow.spec("KSampler.steps") == spec
    assert workflow.spec("prompt") == undefined.spec("seed") == tool.InputSpec("STRING")


def test_a_graph_is_indexed_once_for_each_workflow() -> None:
    workflow = tool.Workflow.parse("x", text_to_image())
    assert workflow.flow is workflow.flow is workflow.set({}).flow
    bound = workflow.bind({"seed": 8})
    assert bound.flow.nodes is not workflow.flow.nodes
    assert replace(workflow, definitions={"KSampler": tool.NodeDefinition("KSampler", {})}).flow is not workflow.flow


# --- whatever a graph holds ---


def test_binding_what_an_official_template_holds_changes_nothing() -> None:
    for release, name in every_template():
        with contextlib.suppress(tool.WorkflowRefused):
            graph = converted(release, name)
            workflow = tool.Workflow.parse(name, graph, classes(release))
            held = {name: workflow.value(name) for name in workflow.names}
            assert workflow.bind(held).graph == graph
            assert workflow.filled().graph == graph


@given(GRAPHS, DEFINITIONS)
def test_binding_what_a_graph_holds_changes_nothing(graph: dict[str, Any], definitions: Any) -> None:
    workflow = tool.Workflow.parse("x", graph, definitions)
    for name in workflow.names:
        if (value := workflow.value(name)) == value:  # not-a-number is not even itself
            assert repr(workflow.bind({name: value}).graph) == repr(graph)


@given(GRAPHS, st.data())
def test_binding_changes_what_was_named_and_nothing_else(graph: dict[str, Any], data: st.DataObject) -> None:
    workflow = tool.Workflow.parse("x", graph)
    if workflow.names:
        name = data.draw(st.sampled_from(workflow.names))
        bound = workflow.bind({name: "something new"})
        named = {target.widget for target in workflow.find(name) or ()}
        for target in workflow.widgets.values():
            held = bound.graph[target.node_id]["inputs"][target.input]
            before = graph[target.node_id]["inputs"][target.input]
            assert ("something new" in str(held)) if target in named else repr(held) == repr(before)


@given(GRAPHS)
def test_no_placeholder_survives(graph: dict[str, Any]) -> None:
    workflow = tool.Workflow.parse("x", graph)
    filled = workflow.filled().graph
    for targets in workflow.parameters.values():
        for target in targets:
            assert not target.token or target.token not in str(filled[target.node_id]["inputs"][target.input])


@given(GRAPHS)
def test_every_name_finds_what_it_names(graph: dict[str, Any]) -> None:
    workflow = tool.Workflow.parse("x", graph)
    for name, target in workflow.widgets.items():
        assert workflow.find(name) == (workflow.parameters.get(name) or (target,))
        assert workflow.find(f"{target.node_id}.{target.input}")


# --- the index of the links is taken along ---


@pytest.mark.parametrize("entry", tool.bundled_entries(), ids=lambda entry: entry.name)
def test_a_bound_workflow_has_the_index_of_its_own_graph(entry: tool.Entry) -> None:
    workflow = entry.workflow
    assert workflow.flow.nodes == workflow.graph
    values = {name: 8 for name in ("steps", "seed", "width", "height", "length") if workflow.find(name)}
    bound = workflow.bind({"prompt": "a fox", **values} if workflow.find("prompt") else values)
    anew = tool.Flow.of(bound.graph, bound.definitions)
    assert (bound.flow.nodes, bound.flow.into, bound.flow.out_of) == (anew.nodes, anew.into, anew.out_of)


@pytest.mark.parametrize(
    "inputs",
    [{"model": ["2", 0]}, {"model": ["1", 1]}, {"model": "none"}, {"model": ["1", 0], "clip": ["1", 1]}],
    ids=["another node", "another output", "a value", "one more"],
)
def test_a_graph_with_other_links_gets_an_index_of_its_own(inputs: dict[str, Any]) -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}}
    sampler = {"class_type": "KSampler", "inputs": {"model": ["1", 0], "seed": 1}}
    workflow = tool.Workflow.parse("mine", {"1": loader, "2": loader, "3": sampler})
    other = workflow.with_graph({**workflow.graph, "3": {"class_type": "KSampler", "inputs": inputs}})
    anew = tool.Flow.of(other.graph, {})
    assert (other.flow.into, other.flow.out_of) == (anew.into, anew.out_of)

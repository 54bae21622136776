"""Find what can be set in a graph, and in which widgets: prompt, seed, size and so on.

`discover` takes the index of a graph in the API format and answers, for a plain text-to-image
workflow,

    {"prompt": (Target("6", "text"),), "negative_prompt": (Target("7", "text"),), "seed": (Target("3", "seed"),),
     "width": (Target("5", "width"),), "model": (Target("4", "ckpt_name"),), ...}

A parameter that stands in several widgets is set in all of them, and the first tells its value.
What the author named counts before what is traced: `titled` reads the titles of nodes ("param:
style", "Prompt", "Int (Steps)"), and `placeholders` those in texts (`{{style}}`, `%%STEPS%%`,
`%prompt%`).

All else is found by tracing the graph back from its outputs (see graph/tracing). The tests read the
official templates of ComfyUI 0.3.64 and 0.33.0 so, with node definitions and by names alone.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from ..values import same_value
from .following import ParameterWidgets, add_targets
from .input_names import PARAMETERS, TEXTS, VALUE_INPUTS, words_in
from .nodes import Target, given_title, is_link
from .roles import SAMPLING
from .search import Flow
from .tracing import Tracing


def discover(flow: Flow) -> dict[str, tuple[Target, ...]]:
    """The parameters of a graph, in the order of `PARAMETERS` and others last, each with the
    widgets that hold it.

    What the author named comes before what tracing finds: nodes titled "param: <name>" or by
    nothing but a parameter's name, and placeholders {{name}}, %%name%% or %name%. A placeholder for
    a number or a choice inside a longer text ("a photo, %steps% steps") takes nothing away: it is
    set besides the widget itself. The more definitions there are, the better is the answer.
    """
    tracing = Tracing(flow)
    traced = {name: tuple(targets) for name, targets in tracing.parameters().items()}
    named = titled(flow, traced, tracing.makers.live)
    # numbers and choices inside texts, set besides their own widgets
    mentioned: dict[str, list[Target]] = {}
    for name, target in placeholders(flow, traced):
        is_inside = flow.value(target) != target.token
        if is_inside and name in PARAMETERS and name not in TEXTS:
            mentioned.setdefault(name, []).append(target)
        else:
            named.setdefault(name, []).append(target)
    parameters: dict[str, tuple[Target, ...]] = {}
    for name in (*PARAMETERS, *traced, *named, *mentioned):
        targets = named.get(name) or traced.get(name, ())
        widgets = (*targets, *mentioned.get(name, ()))
        if widgets:
            parameters[name] = widgets
    return parameters


# Other names of parameters, as people and nodes write them, and the parameter that each means.
ALIASES: Mapping[str, str] = {
    "positive": "prompt",
    "positive_prompt": "prompt",
    "user_prompt": "prompt",
    "negative": "negative_prompt",
    "noise_seed": "seed",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "guidance_scale": "guidance",
    "sampler_name": "sampler",
    "scheduler_name": "scheduler",
    "denoising_strength": "denoise",
    "batch": "batch_size",
    "count": "batch_size",
    "frames": "length",
    "num_frames": "length",
    "frame_count": "length",
    "video_length": "length",
    "frame_rate": "fps",
    "duration": "seconds",
    "ckpt": "model",
    "ckpt_name": "model",
    "unet_name": "model",
    "checkpoint": "model",
}


def parameter_name(text: str) -> str:
    """The parameter that a spelling means: "CFG scale" is "guidance". An unknown one keeps its
    name, in lower case with underscores.
    """
    plain = re.sub(r"[\s_-]+", "_", text.strip().casefold()).strip("_")
    return ALIASES.get(plain, plain)


# What the author named, in titles and in placeholders: `{{seed}}`, `%%SEED%%` or `%seed%` in a
# text, and the titles "param: seed", "Int (Steps)", "Text String (Prompt)" or "Frame Rate(int)".
# `%name%` is common text, so only the names here count in it; "scale" is what SillyTavern calls
# guidance.
PLACEHOLDER_NAMES = {
    **ALIASES,
    **{name: name for name in (*PARAMETERS, "clip_skip", "vae")},
    "scale": "guidance",
}
PLACEHOLDER = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|%%([^\W\d]\w*)%%|%([^\W\d]\w*)%")
# inputs: the graph itself replaces these texts
NO_PLACEHOLDER = ("find", "search", "pattern", "regex_pattern", "old")
PARAM_TITLE = re.compile(r"param\s*:\s*(.*\S)", re.IGNORECASE)
KIND_IN_TITLE = re.compile(
    r"(?:int|float|number|text|string|multiline|value|\s)+\((?P<inside>[^()]+)\)"
    r"|(?P<before>[^()]+)\((?:int|float|number|text|string)\)",
    re.IGNORECASE,
)
MAIN_INPUTS = (*VALUE_INPUTS, "seed", "prompt", "tags")  # of a node that is about one thing


def titled(
    flow: Flow, traced: Mapping[str, tuple[Target, ...]], live: Iterable[str]
) -> dict[str, list[Target]]:
    """The parameters that node titles name, with their widgets.

    "param: <name>" counts everywhere. A bare title, "Steps" or "Int (Steps)", counts on `live`
    nodes and for names in `PARAMETERS` only. Where bare titles contradict one another (two nodes
    "Steps" before a switch), those count that tracing reaches too.
    """
    named, bare = read_titles(flow, set(live))
    for name, targets in bare.items():
        reached = [target for target in traced.get(name, ()) if target in targets]
        if not reached or all_alike(flow, targets):
            reached += targets
        named.setdefault(name, dict.fromkeys(reached))
    for name, targets in named.items():
        also = traced.get(name, ())
        if targets.keys().isdisjoint(also):
            continue
        # steps at which one sampler relieves another
        hand_overs = [target for target in also if target.part != 1.0]
        add_targets(named, name, *hand_overs)
    return {name: list(targets) for name, targets in named.items() if targets}


def read_titles(flow: Flow, live: Collection[str]) -> tuple[ParameterWidgets, ParameterWidgets]:
    """What titles of the form "param: <name>" name, and what bare ones on `live` nodes do."""
    explicit: ParameterWidgets = {}
    bare: ParameterWidgets = {}
    for node_id, node in flow.nodes.items():
        title = given_title(node)
        asked = PARAM_TITLE.fullmatch(title)
        if asked:
            name = parameter_name(asked[1])
            add_targets(explicit, name, *titled_widgets(flow, node_id, name))
            continue
        name = bare_name(title)
        if name in PARAMETERS and node_id in live and not is_class_title(flow, node_id, title):
            add_targets(bare, name, *titled_widgets(flow, node_id, name))
    return explicit, bare


def bare_name(title: str) -> str:
    """The parameter that a title without "param:" would name: "Steps" and "Int (Steps)" are both
    "steps".
    """
    with_kind = KIND_IN_TITLE.fullmatch(title)
    if with_kind:
        title = with_kind["inside"] or with_kind["before"]
    return parameter_name(title)


def is_class_title(flow: Flow, node_id: str, title: str) -> bool:
    """Whether a title is only that of the node's class."""
    definition = flow.definition(node_id)
    if definition and title == definition.title:
        return True
    return title == flow.class_type(node_id)


def all_alike(flow: Flow, targets: Iterable[Target]) -> bool:
    """Whether all these widgets hold the same."""
    values = [flow.value(target) for target in targets]
    return all(same_value(value, values[0]) for value in values)


def titled_widgets(flow: Flow, node_id: str, name: str) -> list[Target]:
    """The widgets of a node that its title means: those of that name, else its only or its main
    one, or what these read over a link.
    """
    side = "negative" if name == "negative_prompt" else "positive"
    if name in ("prompt", "negative_prompt"):
        words = flow.words(node_id, side)
        if words:
            return words
    is_known = name in PARAMETERS
    sought = name
    if name in TEXTS or not is_known:
        sought = f"{side} text"
    for key in titled_inputs(flow, node_id, name):
        is_widget = not is_link(flow.inputs(node_id)[key])
        if is_widget and (not is_known or flow.holds(name, node_id, key)):
            return [Target(node_id, key)]
        link = flow.link(node_id, key)
        if link is None or link.surely_carries(*SAMPLING):
            continue
        widget = flow.best(link, sought)
        if widget:
            return [widget]
    return []


def titled_inputs(flow: Flow, node_id: str, name: str) -> list[str]:
    """The inputs of a node that its title may mean, likeliest first: those of that name, its only
    widget, its main ones.
    """
    inputs = flow.inputs(node_id)
    spellings = PARAMETERS.get(name, ())
    keys = [key for key in inputs if parameter_name(key) == name or key in spellings]
    widgets = [key for key, value in inputs.items() if not is_link(value)]
    if len(widgets) == 1:
        keys += widgets
    for wanted in MAIN_INPUTS:
        keys += [key for key in inputs if key.lower() == wanted]
    return keys


def placeholders(
    flow: Flow, traced: Mapping[str, tuple[Target, ...]]
) -> Iterator[tuple[str, Target]]:
    """Every placeholder as a `Target` with its `token`, and the parameter that it names.

    `%name%` is common text, above all in file names ("%year%-%month%"). It counts for the names in
    `PLACEHOLDER_NAMES`, and inside a longer text only where somebody's words stand. What nodes of
    the graph replace themselves is left out.
    """
    prompts: set[Target] = set()
    for name in TEXTS:
        prompts.update(target.widget for target in traced.get(name, ()))
    texts = marked_texts(flow)
    # by nodes of the graph itself
    replaced = {text for widget, text in texts if widget.input in NO_PLACEHOLDER}
    for widget, text in texts:
        is_prompt = widget in prompts or bool(words_in(widget.input))
        for match in PLACEHOLDER.finditer(text):
            token = match[0]
            name = (match[1] or match[2] or match[3]).lower()
            is_common = match[3] is not None  # written as %name%
            stands_alone = text == token
            if is_common and not (common_counts(name, widget) and (stands_alone or is_prompt)):
                continue
            if token not in replaced:
                parameter = PLACEHOLDER_NAMES.get(name, name)
                yield parameter, replace(widget, token=token)


def common_counts(name: str, widget: Target) -> bool:
    """Whether `%name%` can be a placeholder in a widget, by the name and by the widget."""
    return name in PLACEHOLDER_NAMES and widget.input != "filename_prefix"


def marked_texts(flow: Flow) -> list[tuple[Target, str]]:
    """All widgets with texts that may have placeholders in them, and these texts."""
    texts = []
    for node_id in flow.nodes:
        for key, value in flow.inputs(node_id).items():
            if isinstance(value, str) and ("{{" in value or "%" in value):
                texts.append((Target(node_id, key), value))
    return texts

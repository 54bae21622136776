"""What a call names in `inputs`, brought to the names that its workflow has.

A model writes the names that it knows from other systems, or only the end of one: "text",
"num_images", "cfg" where the widget is called "KSampler (12).cfg". `with_own_names` finds what is
meant. What the workflow calls so itself always counts first:

    {"text": "a fox", "num_images": 2, "aspect_ratio": "16:9"}  ->  {"prompt": "a fox"}, count 2, size "16:9"
    {"KSampler": {"cfg": 3}}                                    ->  {"KSampler.cfg": 3}
    {"crf": 20}                                                 ->  {"Save WEBM.crf": 20}, where only one ends so
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..catalogue.request import Request
from ..errors import BadArgument
from ..graph.workflow import Workflow
from ..names import quoted, shortened, simplified
from ..sizes import read_size
from ..values import Argument
from .duration import TIMES

# what `inputs` may name beside the workflow's own inputs
EXTRAS = ("size", "count", "loras", "strength", "scale")

# What other systems call a parameter, without case, spaces and underscores.
_SYNONYMS = {
    "prompt": "text tags caption description prompttext inputtext positivetext instruction instructions message query",
    "negative_prompt": "negativetext neg negprompt exclude negativetags",
    "lyrics": "lyric songtext songlyrics",
    "seed": "randomseed rngseed",
    "steps": "numsteps numinferencesteps samplingsteps samplesteps inferencesteps step numberofsteps",
    "guidance": "cfgstrength guidancestrength cfgscale classifierfreeguidance",
    "sampler": "samplingmethod samplermethod samplerindex",
    "scheduler": "schedule scheduletype",
    "count": (
        "n num numimages numberofimages imagescount numoutputs nimages amount quantity variations samples numsamples "
        "batchcount batchsize numimagesperprompt"
    ),
    "size": "aspectratio ratio resolution dimensions imagesize orientation outputsize videosize format",
    "seconds": (
        "duration durationseconds lengthseconds lengthinseconds videoseconds videolength videoduration audiolength "
        "audioduration cliplength time secs sec"
    ),
    "length": "frames numframes numberofframes framecount framescount videoframes nframes",
    "fps": "framerate framespersecond",
    "strength": "denoise denoisestrength denoisingstrength variation variationstrength",
    "scale": "upscale factor scalefactor upscalefactor upscaleby resize",
    "loras": "lora loraname loralist",
    "model": "modelname checkpoint checkpointname ckpt ckptname unet unetname basemodel",
}
SYNONYMS = {name: parameter for parameter, names in _SYNONYMS.items() for name in names.split()}
# what belongs to a description where a workflow has no such input
ADDED_TO_PROMPT = ("style", "genre", "mood")
THE_PROMPT = "The argument prompt"  # the name of a prompt that is an argument of its own


def with_own_names(workflow: Workflow, request: Request) -> Request:
    """The request with its `inputs` under the names that the workflow has for them, and those
    `EXTRAS` that are no inputs of the workflow as arguments. Notes tell what was left out. Raises
    `BadArgument` where a name could mean several inputs.
    """
    if not request.inputs:
        return request
    inputs: dict[str, Argument] = {}
    extras: dict[str, Argument] = {}
    notes: list[str] = []
    flat = _flat(workflow, request.inputs)
    # its own names first
    for name in sorted(flat, key=lambda name: name not in (*workflow.parameters, *EXTRAS)):
        wanted, own = flat[name], _own_name(workflow, name)
        if own == "prompt" and own in inputs and workflow.find("lyrics") and "lyrics" not in flat:
            own = "lyrics"  # of a song "text" may be either
        is_extra = own in EXTRAS and not workflow.find(own)
        place = extras if is_extra else inputs
        before = place.get(own) or (getattr(request, own) if is_extra else None)
        both = _both_sizes(before, wanted) if before and own == "size" else None
        if before is None or both:
            place[own] = both or wanted
        else:
            notes.append(f"{_called(before)} was followed, and {_called(wanted)} left out")
    _add_to_prompt(workflow, inputs, notes)
    _place_prompt(workflow, inputs, notes)
    added = tuple(note for note in notes if note not in request.notes)
    named: dict[str, Any] = dict(extras)
    return replace(request, inputs=inputs, notes=(*request.notes, *added), **named)


def _place_prompt(workflow: Workflow, inputs: dict[str, Argument], notes: list[str]) -> None:
    """Give the argument prompt to the only text that a workflow without a prompt takes, or leave it
    out with a note.
    """
    prompt = inputs.get("prompt")
    if prompt is None or prompt.name != THE_PROMPT or workflow.find("prompt"):
        return
    del inputs["prompt"]
    text = _only_text(workflow)
    if text and text not in inputs:  # of a workflow that speaks, say
        inputs[text] = prompt
    else:
        notes.append(f'the workflow "{workflow.name}" takes no prompt; it was left out')


def _called(wanted: Argument) -> str:
    """What a note calls something that a call gives: "text", an input, or "the argument prompt"."""
    name = wanted.name.removeprefix("The input ")
    return name[:1].lower() + name[1:] if name == wanted.name else name


def _both_sizes(first: Argument, second: Argument) -> Argument | None:
    """The size that two inputs say together, as "9:16" and "480p" do; None where they contradict
    each other.
    """
    together = replace(first, value=f"{first.value} {second.value}")
    try:
        read_size(together)
    except BadArgument:
        return None
    return together


def _flat(workflow: Workflow, inputs: Mapping[str, Argument]) -> dict[str, Argument]:
    """The inputs, of which those of one node may stand in an object: {"KSampler": {"cfg": 3}}, and as in a graph,
    {"3": {"inputs": {"cfg": 3}}}.
    """
    flat: dict[str, Argument] = {}
    for name, wanted in inputs.items():
        inner = wanted.value
        if isinstance(inner, Mapping) and isinstance(inner.get("inputs"), Mapping):
            inner = inner["inputs"]
        known: list[str] = []
        if isinstance(inner, Mapping) and workflow.find(name) is None:
            known = [str(key) for key in inner if workflow.find(f"{name}.{key}")]
        if not known:
            flat[name] = wanted
        for key in known:
            full = f"{name}.{key}"
            flat[full] = Argument(inner[key], f"The input {shortened(full, 60)}", wanted.level)
    return flat


def _own_name(workflow: Workflow, name: str) -> str:
    """The name by which the workflow knows what is asked for; the name itself where it knows
    nothing like it.
    """
    for own in (name, name.replace("-", "_")):
        if workflow.find(own):
            return own
    plain = simplified(name.replace("-", "_"))
    if plain in EXTRAS:
        return plain
    meant = SYNONYMS.get(plain, "")
    times = [unit for unit in TIMES if unit in workflow.parameters]
    if meant and (workflow.find(meant) or meant in EXTRAS or (meant in TIMES and times)):
        return meant
    if "." in name:
        return name
    ends = [
        widget for widget, target in workflow.widgets.items() if simplified(target.input) == plain
    ]
    if len(ends) > 1:
        raise BadArgument(
            f'The workflow "{workflow.name}" has {len(ends)} inputs that end in "{shortened(name)}".',
            f"Name one of: {quoted(ends[:12])}.",
        )
    return ends[0] if ends else name


def _only_text(workflow: Workflow) -> str:
    """The one input for a text of a workflow without a prompt; "" where there is none, or
    several.
    """
    texts = [
        name
        for name in workflow.widgets
        if name.rpartition(".")[2] in ("text", "prompt", "message", "caption")
    ]
    return texts[0] if len(texts) == 1 and workflow.spec(texts[0]).type == "STRING" else ""


def _add_to_prompt(workflow: Workflow, inputs: dict[str, Argument], notes: list[str]) -> None:
    """Put a style and the like into the prompt where the workflow has no such input."""
    for name in ADDED_TO_PROMPT:
        wanted = inputs.get(name)
        if (
            wanted is None
            or workflow.find(name)
            or not workflow.find("prompt")
            or not isinstance(wanted.value, str)
        ):
            continue
        prompt = inputs.get("prompt")
        text = f"{prompt.value}, {wanted.value}" if prompt else wanted.value
        inputs["prompt"] = Argument(text, prompt.name if prompt else wanted.name)
        del inputs[name]
        notes.append(f"{name} was put into the prompt")

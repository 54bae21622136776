"""Graphs that Hypothesis makes up: what may stand where a graph is expected, and graphs that hold odd values."""

from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support.conversion import classes

# --- anything that may stand where a graph is expected, mostly nearly right ---

NODE_IDS = st.sampled_from([*"123456", "1:2", "", "ü"])
ALMOST_LINKS = st.tuples(NODE_IDS, st.integers(-1, 3)).map(list)
ALMOST_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a.ckpt", "%a.b%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ALMOST_NAMES = st.sampled_from(["model", "clip", "image", "images", "text", "filename_prefix", "lora_name", "on_true"])
ALMOST_CLASSES = st.sampled_from([
    *("KSampler", "LoraLoader", "LoraLoaderModelOnly", "CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "Switch"),
    *("CLIPTextEncode", "SaveImage", "LoadImage", "ModelSamplingSD3", "VAEDecode", "Nobody's"),
])  # fmt: skip
ALMOST_NODES = st.fixed_dictionaries(
    {
        "class_type": ALMOST_CLASSES,
        "inputs": st.dictionaries(ALMOST_NAMES | st.text(max_size=3), ALMOST_LINKS | ALMOST_VALUES, max_size=5),
    },
    optional={"_meta": st.fixed_dictionaries({"title": st.text(max_size=60)}) | ALMOST_VALUES},
)
ALMOST_GRAPHS = st.dictionaries(NODE_IDS, ALMOST_NODES | ALMOST_VALUES, max_size=8)

# --- graphs of nodes that name their class and their inputs, with odd values, titles and placeholders ---

NAMES = [*tool.GUESSED_TYPES, *(key for keys in tool.PARAMETERS.values() for key in keys), "text", "value", "switch"]
CLASSES = [
    "KSampler",
    "KSamplerAdvanced",
    "SamplerCustomAdvanced",
    "CLIPTextEncode",
    "ConditioningCombine",
    "StringConcatenate",
    "ComfySwitchNode",
    "SplitSigmas",
    "SaveImage",
    "VAEDecode",
    "Mine",
]
IDS = st.sampled_from("123456789")
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
TEXTS = st.sampled_from(["a cat", "{{prompt}}", "{{prompt}}, {{style}}", "%seed%", "%%X%%%steps%", "{{ a }", "50%", ""])
LINKS = st.tuples(IDS, st.integers(-1, 3)).map(list)
VALUES = st.one_of(LINKS, LINKS, SCALARS, TEXTS, st.lists(SCALARS, max_size=3))
NODES = st.fixed_dictionaries(
    {"class_type": st.sampled_from(CLASSES), "inputs": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=9)},
    optional={
        "_meta": st.one_of(SCALARS, st.fixed_dictionaries({"title": st.one_of(SCALARS, st.sampled_from(NAMES))}))
    },
)
GRAPHS = st.dictionaries(IDS, NODES, min_size=1)
ANYTHING = st.recursive(
    SCALARS, lambda some: st.lists(some) | st.dictionaries(st.text(max_size=9), some), max_leaves=20
)
DEFINITIONS = st.sampled_from([{}, classes("0.33.0")])

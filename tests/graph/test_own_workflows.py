"""What a workflow of a user's own may not hold: ways out of ComfyUI's folders, and names of other people's files.

The classes are those of ComfyUI 0.33.0 and 0.3.64. `tests/attacks/test_own_workflows.py` has the same through the whole
tool.
"""

from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.graphs import defined, node, text_to_image

TEXT, WHOLE = ["STRING", {}], ["INT", {}]
CLASSES: dict[str, Any] = {
    "WebcamCapture": {"input": {"required": {"image": ["WEBCAM", {}], "width": WHOLE}}, "output": ["IMAGE"]},
    "RecordAudio": {"input": {"required": {"audio": ["AUDIO_RECORD", {}]}}, "output": ["AUDIO"]},
    "Painter": {"input": {"required": {"mask": ["STRING", {"image_upload": True}]}}, "output": ["IMAGE", "MASK"]},
    "LoadVideo": {
        "input": {"required": {"file": ["COMBO", {"video_upload": True, "options": ["b.mp4"]}]}},
        "output": ["VIDEO"],
    },
    "LoadFolder": {"input": {"required": {"folder": ["COMBO", {"options": ["ann", "bob"]}]}}, "output": ["IMAGE"]},
    "Load3DAdvanced": {
        "input": {"required": {"model_file": ["COMBO", {"options": ["none"], "file_upload": True}]}},
        "output": ["FILE_3D"],
    },
    "Load3D": {
        "input": {"required": {"model_file": ["COMBO", {"options": ["none"]}], "image": ["LOAD_3D", {}]}},
        "output": ["IMAGE"],
    },
    "Preview3D": {"input": {"required": {"model_file": ["STRING,FILE_3D", {}]}}, "output": [], "output_node": True},
    "SaveAudio": {"input": {"required": {"audio": ["AUDIO", {}]}}, "output": [], "output_node": True},
    "SaveAny": {"input": {"required": {"any": ["*", {}]}}, "output": [], "output_node": True},
    "StringConcatenate": {
        "input": {"required": {"string_a": TEXT, "string_b": TEXT, "delimiter": TEXT}},
        "output": ["STRING"],
    },
    "StringSubstring": {"input": {"required": {"string": TEXT, "start": WHOLE, "end": WHOLE}}, "output": ["STRING"]},
    "StringReplace": {"input": {"required": {"string": TEXT, "find": TEXT, "replace": TEXT}}, "output": ["STRING"]},
    "RegexReplace": {
        "input": {"required": {"string": TEXT, "regex_pattern": TEXT, "replace": TEXT}},
        "output": ["STRING"],
    },
    "StringFormat": {
        "input": {"required": {"f_string": TEXT, "values": ["COMFY_AUTOGROW_V3", {"template": {}}]}},
        "output": ["STRING"],
    },
    "JsonExtractString": {"input": {"required": {"json_string": TEXT, "key": TEXT}}, "output": ["STRING"]},
    "AddTextPrefix": {"input": {"required": {"texts": TEXT, "prefix": TEXT}}, "output": ["STRING"]},
    "CustomCombo": {"input": {"required": {"choice": ["COMBO", {"options": []}]}}, "output": ["STRING", "INT"]},
    "TripoModel": {
        "input": {"required": {"prompt": TEXT, "model_version": ["COMBO", {"options": ["v2.5", "v3.0"]}]}},
        "output": ["STRING"],
    },
}


def check(**nodes: Any) -> None:
    """Check a user's graph: a text-to-image graph with these nodes added or put in their place."""
    tool.check_own(tool.Workflow.parse("x", text_to_image(**nodes), defined(**CLASSES)), ())


def named(by: Any, **more: Any) -> Any:
    """A saver whose name comes from a node, and the nodes that it needs."""
    return {"save": node("SaveImage", images=("decode", 0), filename_prefix=("by", 0)), "by": by, **more}


def held(text: str) -> Any:
    return node("PrimitiveString", value=text)


def shown(made: Any, **more: Any) -> Any:
    return {"made": made, "show": node("SaveAny", any=("made", 0)), **more}


FILES = {
    "a picture of the camera": shown(node("WebcamCapture", image="bob.png", width=0)),
    "one whose name has no ending": shown(node("WebcamCapture", image="bob", width=0)),
    "a sound that was recorded": shown(node("RecordAudio", audio="bob.mkv")),
    "a painted mask": shown(node("Painter", mask="painter/bob.png")),
    "a painted mask in another wrapping": shown(node("Painter", mask={"__value__": "bob.png"})),
    "a mesh": shown(node("Load3DAdvanced", model_file="3d/bob.stl")),
    "a view of a mesh": shown(node("Load3D", model_file="none", image={"image": "bob.tif", "recording": ""})),
    "a mesh that is shown": {"show": node("Preview3D", model_file="3d/bob.ply")},
    "a mesh that a text names": {"show": node("Preview3D", model_file=("text", 0)), "text": held("3d/bob.ply")},
    "a picture that a text names": shown(node("LoadImage", image=("text", 0)), text=held("bob.png")),
    "a picture that a choice names": shown(
        node("LoadImage", image=("text", 0)), text=node("CustomCombo", choice="bob.png", index=0)
    ),
    "a picture whose name is joined": shown(
        node("LoadImage", image=("text", 0)),
        text=node("StringConcatenate", string_a="bob", string_b=".png", delimiter=""),
    ),
    "a film that a text names": shown(node("LoadVideo", file=("text", 0)), text=held("bob")),
    "a folder that a text names": shown(node("LoadFolder", folder=("text", 0)), text=held("bob")),
}


@pytest.mark.parametrize("nodes", FILES.values(), ids=FILES)
def test_no_file_on_the_server_is_named(nodes: Any) -> None:
    with pytest.raises(tool.BadArgument, match="a file on the server, which may be somebody else's"):
        check(**nodes)


WAYS_OUT = {
    "dots that are joined": named(
        node("StringConcatenate", string_a=("a", 0), string_b=("b", 0), delimiter=""), a=held("."), b=held("./x")
    ),
    "a dot put before": named(node("AddTextPrefix", texts=("a", 0), prefix="."), a=held("./x")),
    "a piece that begins with a slash": named(
        node("StringSubstring", string=("a", 0), start=1, end=9), a=held("x/etc")
    ),
    "dots that are cut out": named(node("StringSubstring", string=("a", 0), start=1, end=9), a=held("a../x")),
    "letters taken one by one": named(
        node("StringFormat", f_string="{a[1]}{a[1]}{b[1]}etc", values__a=("a", 0), values__b=("b", 0)),
        a=held("b.c"),
        b=held("x/y"),
    ),
    "letters made of numbers": named(
        node("StringFormat", f_string=("a", 0), values__a=("b", 0)),
        a=held("{a:c}{a:c}"),
        b=node("PrimitiveInt", value=46),
    ),
    "dots left when more is taken out": named(node("StringReplace", string="x.x.x", find="x", replace="")),
    "a slash left when more is taken out": named(
        node("StringReplace", string=("a", 0), find="x", replace=""), a=held("x/etc/y")
    ),
    "letters that JSON hides": named(
        node("JsonExtractString", json_string=("a", 0), key="a"), a=held('{"a": "\\u002e\\u002e\\u002fx"}')
    ),
    "one of two texts": named(
        node("ComfySwitchNode", switch=True, on_false=("a", 0), on_true=("b", 0)), a=held("x"), b=held("../x")
    ),
    "a choice": named(node("CustomCombo", choice="../x", index=0)),
}


@pytest.mark.parametrize("nodes", WAYS_OUT.values(), ids=WAYS_OUT)
def test_no_path_leads_out_that_nodes_make_of_texts(nodes: Any) -> None:
    with pytest.raises(tool.BadArgument, match="or could do so"):
        check(**nodes)


ORDINARY = {
    "a name in a folder": named(held("video/fox v1.2")),
    "a name in a folder with more behind it": named(
        node("StringConcatenate", string_a=("a", 0), string_b=("b", 0), delimiter="_"),
        a=held("video/fox"),
        b=held("red"),
    ),
    "a name out of which words are taken": named(
        node("StringReplace", string=("a", 0), find=".safetensors", replace=""), a=held("fox red")
    ),
    "a pattern for what is taken out": named(
        node("RegexReplace", string=("a", 0), regex_pattern="\\.[a-z]+$", replace=""), a=held("fox red")
    ),
    "a mesh that a service makes": {
        "show": node("Preview3D", model_file=("made", 0)),
        "made": node("TripoModel", prompt="a fox. And a dog", model_version="v3.0"),
    },
    "signs that are no path": {"save": node("SaveImage", images=("decode", 0), filename_prefix="%2e%2e_\uff0e\uff0e")},
}


@pytest.mark.parametrize("nodes", ORDINARY.values(), ids=ORDINARY)
def test_what_is_ordinary_is_taken(nodes: Any) -> None:
    check(**nodes)

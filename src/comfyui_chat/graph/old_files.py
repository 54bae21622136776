"""What packages and ComfyUI's page do to the values of an old file when they open it.

A widget that was renamed, split or dropped since a file was saved is mended by the script that
draws it. Without the page these few rules do the same: `values_now` for the values of a node as the
file has them, `value_now` for one of them that has found its name.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..values import text_of
from .ui_file import UINode

# How VideoHelperSuite chose a size before it had two numbers: "512x?", "?x320", "Disabled" and two
# in words.
FORCED_SIZE = re.compile(r"(\d+|\?)x(\d+|\?)")
# Choices that EasyUse and ComfyUI itself have renamed, by the widget's name.
RENAMED_CHOICES: Mapping[str, Mapping[str, str]] = {
    "resolution": {"自定义 x 自定义": "width x height (custom)"},
}


def values_now(node: UINode) -> list[Any] | Mapping[str, Any]:
    """A node's values as its package would have them today; by name where the file tells the
    names.
    """
    values = node.values
    names = node.properties.get("__lm_widget_ids")  # LoraManager's, which draws its widgets itself
    if isinstance(names, list) and isinstance(values, list) and len(names) == len(values):
        values = {str(name): value for name, value in zip(names, values, strict=True)}
    if isinstance(values, Mapping) and "force_size" in values:
        values = {**values, **_forced_size(text_of(values["force_size"]))}
        del values["force_size"]
    return values


def _forced_size(choice: str) -> dict[str, int]:
    """The width and height that a choice of a size means, as far as it tells them; 0 is for as it
    comes.
    """
    numbers = FORCED_SIZE.fullmatch(choice)
    if numbers:
        width, height = [0 if side == "?" else int(side) for side in numbers.groups()]
        return {"custom_width": width, "custom_height": height}
    if choice == "Disabled":
        return {"custom_width": 0, "custom_height": 0}
    if choice == "Custom Width":
        return {"custom_height": 0}
    if choice == "Custom Height":
        return {"custom_width": 0}
    return {}


def value_now(node: UINode, name: str, value: Any) -> Any:
    """A value as it is called today, of the widget of this name."""
    if node.type.startswith("PreviewBridge") and name == "image":
        # where its mask is kept; the page sets it whenever it opens the file
        return f"${node.id}-0"
    if not isinstance(value, str):
        return value
    if name == "sampler_name" and node.type in ("KSampler", "KSamplerAdvanced"):
        return value.removeprefix("sample_")
    return RENAMED_CHOICES.get(name, {}).get(value, value)

"""What ComfyUI says when it refuses a workflow, as an error that a person can act on.

A post is answered 400 where a node is unknown, a value is out of range or a file is not installed.
`parse_refusal` takes the first such reason, and names the node, the input and what would do. Like
`protocol` it does no I/O, and cuts what a server means for people to `MOST_MESSAGE_CHARACTERS`. The
shapes are those recorded from ComfyUI 0.3.64 and 0.33.0.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..bounds import MOST_MESSAGE_CHARACTERS, MOST_NAME_CHARACTERS
from ..errors import ModelNotInstalled, NodeNotInstalled, ValueOutOfRange, WorkflowRefused
from ..graph.definitions import Definitions, InputSpec
from ..graph.nodes import Graph, node_title
from ..names import MODEL_FILE, closest, quoted, shortened, without_paths


def parse_refusal(
    body: Mapping[str, Any], graph: Graph, definitions: Definitions
) -> WorkflowRefused:
    """The answer 400 of `POST /prompt` as an error: the first reason that a person can act on.

        {"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", ...},
         "node_errors": {"4": {"class_type": "CheckpointLoaderSimple", "errors": [
            {"type": "value_not_in_list", "message": "Value not in list", "details": "...",
             "extra_info": {"input_name": "ckpt_name", "received_value": "x.safetensors",
                            "input_config": [["a.safetensors", "b.safetensors"], {}]}}]}}}

    An unknown node stands in `error` itself, by its class (0.33.0) or in the message's words
    (0.3.64).
    """
    error = body.get("error") or {}
    if not isinstance(error, dict):
        error = {"message": str(error)}
    message = _short(error.get("message") or "no reason given", 300)
    if class_type := _unknown_class(error, message):
        return NodeNotInstalled(f'This ComfyUI has no node "{class_type}".')
    for node_id, node_error in (body.get("node_errors") or {}).items():
        for reason in node_error.get("errors") or ():
            return _refused_value(node_id, reason, graph, definitions)
    return WorkflowRefused(f"ComfyUI refused the workflow: {message}")


def _unknown_class(error: Mapping[str, Any], message: str) -> str | None:
    """The class of the node that the server does not have, None where that is not what an error is
    about.
    """
    if error.get("type") not in ("invalid_prompt", "missing_node_type"):
        return None
    class_type: str | None = (error.get("extra_info") or {}).get("class_type")
    if class_type:
        return _short(class_type, 200)
    in_words = re.search(r"node (\S+) does not exist", message)
    return in_words[1] if in_words else None


def _short(text: Any, length: int) -> str:
    """A text that a server means for people, as it can stand in a message; it may be of any
    length.
    """
    return shortened(without_paths(str(text)[:MOST_MESSAGE_CHARACTERS]), length)


def _refused_value(
    node_id: str, reason: Mapping[str, Any], graph: Graph, definitions: Definitions
) -> WorkflowRefused:
    """The error for one of a node's `errors`: what is wrong with which input."""
    extra = reason.get("extra_info") or {}
    name = str(extra.get("input_name") or "")[:MOST_NAME_CHARACTERS]
    value = extra.get("received_value")
    where = f"{name} of node {node_title(graph, node_id)}"
    spec = _spec_of_input(name, node_id, graph, definitions)
    kind = reason.get("type")
    if kind == "value_not_in_list":
        return _unknown_choice(where, value, _choices_in(extra, spec))
    if kind in ("value_smaller_than_min", "value_bigger_than_max"):
        return ValueOutOfRange(
            f"{shortened(value)} is out of range for {where}.", _range_hint(spec)
        )
    if kind == "invalid_input_type":
        return ValueOutOfRange(f'"{shortened(value)}" has the wrong type for {where}.')
    message = f"ComfyUI refused {where}: {_short(reason.get('message'), 300)}"
    details = _short(reason.get("details") or "", 200)
    if details:
        message += f" ({details})"
    return WorkflowRefused(message)


def _spec_of_input(
    name: str, node_id: str, graph: Graph, definitions: Definitions
) -> InputSpec | None:
    if node_id not in graph:
        return None
    definition = definitions.get(graph[node_id]["class_type"])
    if definition is None:
        return None
    return definition.inputs.get(name)


def _choices_in(extra: Mapping[str, Any], spec: InputSpec | None) -> Sequence[Any]:
    """The choices of an input: as the refusal tells them, or where there are so many that it does
    not, by the input's definition.
    """
    config = extra.get("input_config") or [None]
    if isinstance(config[0], list):
        return config[0]
    if spec is None:
        return ()
    return spec.choices


def _range_hint(spec: InputSpec | None) -> str:
    if spec is None or spec.minimum is None or spec.maximum is None:
        return ""
    return f"Give a value from {spec.minimum:g} to {spec.maximum:g}."


def _unknown_choice(where: str, value: Any, choices: Sequence[Any]) -> WorkflowRefused:
    value = str(value)[:MOST_MESSAGE_CHARACTERS]
    is_model = MODEL_FILE.search(value)
    hint = ""
    if choices:
        first_words = "Installed are" if is_model else "Choices are"
        names = [choice for choice in choices if isinstance(choice, str)]
        hint = f"{first_words}, among others: {quoted(closest(value, names))}."
    if is_model:
        return ModelNotInstalled(
            f'The model "{shortened(value, 200)}" is not installed ({where}).', hint
        )
    return ValueOutOfRange(f'"{shortened(value)}" is not a choice for {where}.', hint)

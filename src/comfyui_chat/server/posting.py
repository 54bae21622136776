"""What an answer to `POST /prompt` says: that ComfyUI took the prompt, that it refused it, or
nothing of the kind.

A proxy may answer in ComfyUI's place, with whatever status and text, after ComfyUI took the prompt.
So only what ComfyUI alone says is believed, by its shape (`read_said`). After any other answer the
prompt is looked up before anything else is done, and `Accepted.doubt` is what the answer means
where it is not found.

Nothing here does any I/O. The shapes are those recorded from ComfyUI 0.3.64 and 0.33.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ComfyUIError, WorkflowRefused
from ..graph.definitions import Definitions
from ..graph.nodes import Graph
from ..json_pieces import JsonText, read_json_text
from .refusals import parse_refusal

# aiohttp's own words for an exception in a route, which ComfyUI does not catch while it reads a
# prompt.
FAILED_WHILE_READING = b"Server got itself in trouble"


@dataclass(frozen=True)
class Accepted:
    """A prompt that was posted, with notes on outputs that the server dropped. It is not `certain`
    when no answer of ComfyUI came: whether the server took it has to be looked up, and where it did
    not, `doubt` is why, if anything said so.
    """

    prompt_id: str
    notes: tuple[str, ...] = ()
    certain: bool = True
    doubt: ComfyUIError | None = None


def read_said(
    text: JsonText, status: int, graph: Graph, definitions: Definitions
) -> Mapping[str, Any] | WorkflowRefused | None:
    """What ComfyUI itself says of a prompt of this graph: its acceptance, or its refusal as an
    error. None for any other answer of JSON.
    """
    said = read_json_text(text)
    if status == 400 and is_refusal(said):
        return parse_refusal(said, graph, definitions)
    if status == 200 and is_acceptance(said):
        accepted: Mapping[str, Any] = said
        return accepted
    return None


def is_acceptance(said: Any) -> bool:
    """Whether this is how ComfyUI says that it took a prompt: {"prompt_id": "...", "number": 4,
    "node_errors": {}}.
    """
    return isinstance(said, dict) and isinstance(said.get("prompt_id"), str)


def is_refusal(said: Any) -> bool:
    """Whether this is how ComfyUI says that it does not take a prompt:

    {"error": {"type": "prompt_no_outputs", "message": "...", "details": "", "extra_info": {}}, "node_errors": {}}
    """
    if not isinstance(said, dict) or "node_errors" not in said:
        return False
    error = said.get("error")
    return isinstance(error, dict) and isinstance(error.get("type"), str)

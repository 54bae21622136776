"""What the pages of older releases of Open WebUI send and show otherwise than the newest."""

import re
from collections.abc import Mapping
from typing import Any

Version = tuple[int, ...]

# What the pages of 0.9 and 0.10 show, by CSS. Their Stop button has no name, but a square in a circle.
STOP = '#message-input-container button:has(path[d^="M2.25 12c0-5.385"])'
FILE = "button.group.w-60:has(.line-clamp-1.pr-1)"
FILE_NAME = ".line-clamp-1.pr-1"


def parsed(version: str) -> Version:
    """The numbers of a version, to compare."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def message_ids(version: Version, model: str, message: str) -> Any:
    """Which model answers in which message: a list since 0.10."""
    if version < (0, 10):
        return {model: message}
    return [{"model_id": model, "message_id": message, "modelIdx": 0}]


def call_params(version: Version, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a chat in which models call tools natively unless said otherwise: the default since 0.10."""
    if version < (0, 10):
        return {"function_calling": "native", **params}
    return dict(params)


def temporary_id(version: Version, session: str) -> str:
    """The id of a chat that is not stored."""
    return f"local:{session}" if version < (0, 11) else f"temporary:{session}"


def adds_files(version: Version, *, temporary: bool) -> bool:
    """Whether an event with files adds to those that a message shows, instead of replacing them."""
    return temporary and version >= (0, 12)


def marks_failed_calls(version: Version) -> bool:
    """Whether the call of a tool that answers with an error is stored as failed."""
    return version >= (0, 11, 1)


def without_calls(content: str) -> str:
    """What a model said; before 0.10 the calls of its tools stand in between."""
    return re.sub(r'<details type="tool_calls".*?</details>\n?', "", content, flags=re.DOTALL)


def limits_what_tools_store(version: Version) -> bool:
    """Whether the largest size of an uploaded file counts for what a tool stores as well."""
    return version >= (0, 10)


def says_in_channels(version: Version) -> bool:
    """Whether a channel gets what a model says that calls tools natively: 0.10 loses it."""
    return not (0, 10) <= version < (0, 11)


def writes_a_message_at_once(version: Version) -> bool:
    """Whether a message can be read as it was last written, so that all of a call is written together."""
    return version >= (0, 12)


def takes_sentences_from_frames(version: Version) -> bool:
    """Whether the page takes what a button below a message writes."""
    return version >= (0, 11, 4)


def shows_results_to_models(version: Version) -> bool:
    """Whether pictures in a tool's result reach a model as pictures."""
    return version >= (0, 11, 4)


def shows_its_input_early(version: Version) -> bool:
    """Whether the page shows its input before it knows the tools, and empties a chat that is begun until then."""
    return version < (0, 11)

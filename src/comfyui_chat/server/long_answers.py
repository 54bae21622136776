"""Answers that may be long, read row by row or class by class, so that never all of one is in
memory.

What is asked for is kept and the rest let go while a `JsonText` is decoded: of the queue and the
history what tells whose a prompt is and how it stands, of all node definitions those that are
needed. Everything here blocks, and is called in a thread by `HttpServer.read`. Raises as `JsonText`
does, and whatever Python raises for another shape: what is asked for is there, or it is no answer.
A proxy's {"error": "..."} is not an empty queue.
"""

import contextlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..bounds import (
    MOST_NAME_CHARACTERS,
    MOST_NAMES_IN_LIST,
    MOST_NOTES,
    MOST_QUEUE_ROWS,
    MOST_ROW_BYTES_KEPT,
)
from ..graph.definitions import NodeDefinition
from ..graph.nodes import Graph, node_title
from ..json_pieces import CutOff, JsonText, read_json_members, read_json_text
from ..names import shortened
from ..values import object_of
from .allowed import ALL_ALLOWED, Allowed
from .protocol import (
    EXTRA_PNGINFO,
    Prompt,
    Queue,
    Recorded,
    Started,
    Waiting,
    dictionary_at,
    parse_history,
    parse_prompt,
)


def read_queue(text: JsonText, is_cut: bool = False) -> Queue:
    """The queue as `/queue` tells it, row by row; with `is_cut` the text ends somewhere in it.

    {"queue_running": [[4, "<prompt id>", {<graph>}, {<extra_data>}, ["9"]]], "queue_pending": [...]}

    At most `MOST_QUEUE_ROWS` are read. What the rows hold is kept of the first
    `MOST_ROW_BYTES_KEPT`, of later ones only what tells whose they are.
    """
    rows: dict[str, list[list[Any]]] = {"queue_running": [], "queue_pending": []}
    told: set[str] = set()
    is_whole = True
    try:
        for key in text.each_key():
            if key not in rows or not text.begins_with("["):
                text.value()
                continue
            told.add(key)
            for row in text.each_item():
                if sum(map(len, rows.values())) >= MOST_QUEUE_ROWS:
                    is_whole = False
                    break
                rows[key].append(_slim(row, text.place > MOST_ROW_BYTES_KEPT))
            if not is_whole:
                break
    except CutOff:
        if not is_cut:
            raise
        is_whole = False
    if is_whole and told != set(rows):
        raise ValueError("no queue")
    running = [parse_prompt(row, Started()) for row in rows["queue_running"]]
    # They come as the server holds them, a heap, and not in the order of the queue: by number, then
    # by id.
    heap = sorted(rows["queue_pending"], key=lambda row: (row[0], row[1]))
    waiting = enumerate(heap, start=len(running))
    pending = [parse_prompt(row, Waiting(ahead, not is_whole)) for ahead, row in waiting]
    return Queue(
        running=tuple(prompt.prompt_id for prompt in running),
        pending=tuple(prompt.prompt_id for prompt in pending),
        prompts=(*running, *pending),
        is_whole=is_whole,
    )


def _slim(row: Sequence[Any], is_late: bool) -> list[Any]:
    """A row without what is large and not needed; of a late one, of which there are many, without
    its graph as well.
    """
    number, prompt_id = row[:2]
    graph = {} if is_late else dictionary_at(row, 2)
    extra_data = dictionary_at(row, 3)
    if is_late:
        extra_data = {
            key: value
            for key, value in extra_data.items()
            if len(str(value)) <= MOST_NAME_CHARACTERS
        }
    extra_data.pop(EXTRA_PNGINFO, None)
    return [number, str(prompt_id)[:MOST_NAME_CHARACTERS], graph, extra_data]


def read_history(text: JsonText) -> list[Prompt]:
    """The prompts in an answer of `/history`, prompt id -> entry, in its order. What the rows hold
    is kept of the last `MOST_ROW_BYTES_KEPT`, which are the newest; entries that cannot be read are
    left out where there are others.
    """
    prompts: list[Prompt] = []
    sizes: list[int] = []
    strangers = 0
    for _ in text.each_key():
        begin = text.place
        entry = text.value()
        strangers += "prompt" not in object_of(entry)
        with contextlib.suppress(
            LookupError, TypeError, AttributeError, ValueError, ArithmeticError
        ):
            prompts.append(parse_prompt(entry["prompt"], parse_history(entry), entry))
            sizes.append(text.place - begin)
    if strangers and not prompts:
        raise ValueError("no history")
    kept = 0
    for index in reversed(range(len(prompts))):
        kept += sizes[index]
        if kept > MOST_ROW_BYTES_KEPT:
            prompts[index] = replace(prompts[index], graph={})
    return prompts


def read_history_entry(text: JsonText, prompt_id: str) -> Prompt | None:
    """The prompt of this id in an answer of `/history/<id>`; None when it is not there."""
    entry = _entry(text, prompt_id)
    if not entry:
        return None
    return parse_prompt(entry["prompt"], parse_history(entry), entry)


def read_record(text: JsonText, prompt_id: str) -> Recorded | None:
    """How the run of this id ended, by an answer of `/history/<id>`; None when it is not there."""
    entry = _entry(text, prompt_id)
    if not entry:
        return None
    return parse_history(entry)


def _entry(text: JsonText, prompt_id: str) -> Any:
    """What stands under an id in an answer of `/history/<id>`; None where the answer is empty."""
    found = None
    keys = 0
    for key in text.each_key():
        keys += 1
        entry = text.value()
        if key == prompt_id:
            found = entry or found
    if keys and not found:
        raise ValueError("not the prompt that was asked for")
    return found


def read_left_out(graph: Graph, accepted: Mapping[str, Any]) -> tuple[str, ...]:
    """Notes on the outputs that the server left out of a prompt which it took."""
    notes = []
    node_errors = accepted.get("node_errors") or {}
    for node_id, node_error in itertools.islice(node_errors.items(), MOST_NOTES):
        errors = node_error.get("errors")
        reason = "refused"
        if errors:
            reason = errors[0].get("message")
        notes.append(f"{node_title(graph, node_id)} was left out: {shortened(reason, 120)}")
    if len(node_errors) > MOST_NOTES:
        notes.append(f"{len(node_errors) - MOST_NOTES} more were left out.")
    return tuple(notes)


def read_definitions(
    text: JsonText, wanted: Collection[str], allowed: Allowed = ALL_ALLOWED
) -> dict[str, tuple[NodeDefinition, int]]:
    """Those of these classes that are in an answer of `/object_info`, without the models that are
    not allowed, each with the length of its JSON. One that cannot be read is left out when there
    are others.
    """
    found: dict[str, tuple[NodeDefinition, int]] = {}
    classes = 0
    for class_type in text.each_key():
        classes += 1
        begin = text.place
        raw = text.value()
        if class_type not in wanted or not raw:
            continue
        try:
            definition = allowed.definition(NodeDefinition.parse(class_type, raw))
            found[class_type] = definition, text.place - begin
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
            if len(wanted) == 1:
                raise
    # a server tells of the class that was asked for, or of nothing, or of all it has
    if classes and not found:
        raise ValueError("no definitions")
    return found


def read_everything(text: JsonText) -> dict[str, Any]:
    """All node definitions as they are told in an answer of `/object_info`: class -> its
    definition.
    """
    found = read_json_members(text)
    if not any("input" in object_of(raw) for raw in found.values()):
        raise ValueError("no definitions")
    return found


def read_names(
    text: JsonText, read: Callable[[Any], str], is_allowed: Callable[[str], bool] | None = None
) -> list[str]:
    """The names in a list of at most `MOST_NAMES_IN_LIST`, or those that are allowed; `read` makes
    a name out of an item.
    """
    items = read_json_text(text)
    if not isinstance(items, list) or len(items) > MOST_NAMES_IN_LIST:
        raise ValueError("no list, or too many names")
    names = [read(item) for item in items]
    if is_allowed is None:
        return names
    return list(filter(is_allowed, names))


# The name of a file that is hidden, or that holds half a surrogate pair and so cannot be sent.
UNUSABLE_NAME = re.compile(r"(^|/)\.|[\ud800-\udfff]")


def workflows_among(paths: Iterable[str]) -> list[str]:
    """Those of these files that may be workflows, sorted."""
    workflows = [
        name for name in paths if name.endswith(".json") and not UNUSABLE_NAME.search(name)
    ]
    return sorted(workflows, key=str.lower)

"""A prompt's texts as ComfyUI's page sends them: choices made, file names filled in.

The page changes some texts every time it sends a workflow, so a client that posts the workflow
itself has to do the same. `as_sent` does it to a graph in the API format:

    "a {red|blue} fox // draft"                         becomes  "a blue fox "      in texts with `dynamicPrompts`
    "%date:yyyy-MM-dd%/%KSampler.seed%" (a file name)   becomes  "2026-03-04/7"

`random.Random` and the time are passed in. `dynamic_prompt` is the first of these rules alone, as
graph/editor uses it.
"""

import random
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .nodes import Graph, Target, graph_nodes, node_inputs, plain_title


def as_sent(
    graph: Graph, dynamic: frozenset[Target], rng: random.Random, now: datetime
) -> dict[str, Any]:
    """The graph as the front end would send it now.

    A choice is made in each text of `dynamic` (see `read_ui`), and the date and other nodes' values
    are written into every `filename_prefix`. Any other placeholder, such as the server's own
    %year%, stays.
    """
    nodes = graph_nodes(graph)
    changed: dict[str, dict[str, str]] = {}  # the new texts, by node id and input
    for target in sorted(dynamic, key=lambda target: (target.node_id, target.input)):
        node = nodes.get(target.node_id)
        text = node_inputs(node).get(target.input)
        if isinstance(text, str):
            texts = changed.setdefault(target.node_id, {})
            texts[target.input] = dynamic_prompt(text, rng)
    prefixes = {
        node_id: node_inputs(node).get("filename_prefix") for node_id, node in nodes.items()
    }
    replaced = {
        node_id: prefix
        for node_id, prefix in prefixes.items()
        if isinstance(prefix, str) and "%" in prefix
    }
    named = _nodes_by_name(nodes) if replaced else {}
    for node_id, prefix in replaced.items():
        texts = changed.setdefault(node_id, {})
        texts["filename_prefix"] = file_prefix(prefix, named, now)
    sent = dict(graph)
    for node_id, texts in changed.items():
        node = nodes[node_id]
        inputs = {**node_inputs(node), **texts}
        sent[node_id] = {**node, "inputs": inputs}
    return sent


def _nodes_by_name(nodes: Graph) -> dict[str, Mapping[str, Any]]:
    """Nodes by class and by title: a class counts before a title, and of nodes with the same one
    the first.
    """
    named: dict[str, Mapping[str, Any]] = {}
    for node in nodes.values():
        named.setdefault(node["class_type"], node)
    for node in nodes.values():
        named.setdefault(plain_title(node), node)
    return named


def file_prefix(text: str, named: Graph, now: datetime | None = None) -> str:
    """A `filename_prefix` with the date, where one is given, and the values of the nodes that it
    names written in.
    """

    def replacement(found: re.Match[str]) -> str:
        as_written, inside = found[0], found[1]
        name, dot, widget = inside.partition(".")
        if dot and "." not in widget:
            value = node_inputs(named.get(name)).get(widget)
            # a link, a list, or a widget that the node does not have
            if not isinstance(value, (str, int, float)):
                return as_written
            return NOT_IN_FILE_NAMES.sub("_", as_shown(value))
        if now and name.startswith("date:"):
            return format_date(inside.removeprefix("date:"), now)
        return as_written

    return REPLACED.sub(replacement, text)


# In file names: what may be replaced, and the characters of a value that become "_" there.
REPLACED = re.compile(r"%([^%]+)%")
NOT_IN_FILE_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
# The parts of a date's pattern; "yyy" is matched so that it stays as it is.
DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")


def format_date(pattern: str, now: datetime) -> str:
    """A date as the front end writes it: yyyy yy MM M dd d hh h mm m ss s, hours from 0 to 23; all
    else stays.
    """
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def written(found: re.Match[str]) -> str:
        part = found[0]
        year = str(now.year)
        if part == "yyyy":
            return year
        if part == "yy":
            return year[2:]
        if part == "yyy":
            return part
        number = str(parts[part[0]])
        return number.zfill(len(part))

    return DATE_PART.sub(written, pattern)


def as_shown(value: str | float) -> str:
    """A widget's value as JavaScript writes it: 1 for 1.0, and true for True."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


LINE_COMMENT = re.compile(r"//[^\n\r\u2028\u2029]*")
# The beginning of a comment, or a whole comment to the end of its line.
COMMENT = re.compile(r"/\*|" + LINE_COMMENT.pattern)
# {a|b} with no other choice inside
CHOICE = re.compile(r"(?<!\\)\{((?:\\.|[^{}\\])*)\}", re.DOTALL)
MAX_CHOICE_DEPTH = 32  # choices inside choices


def dynamic_prompt(text: str, rng: random.Random | None = None) -> str:
    """A text as the front end sends it: without comments, and with one of each `{a|b}` chosen;
    `\\{` is a plain brace.

    Without `rng` the first is chosen, so that converting twice gives the same.
    """

    def choose(found: re.Match[str]) -> str:
        choices = re.split(r"(?<!\\)\|", found[1])
        if rng is None:
            return choices[0]
        return rng.choice(choices)

    text = without_comments(text)
    for _ in range(MAX_CHOICE_DEPTH):  # the innermost ones first
        text, count = CHOICE.subn(choose, text)
        if not count:
            break
    return re.sub(r"\\([{}|])", r"\1", text)


def without_comments(text: str) -> str:
    """A text without its comments, `/* ... */` and `// ...`, in a time that is linear in its
    length.

    A `/*` that is never closed stays.
    """
    parts: list[str] = []  # the text between the comments
    place = 0
    while True:
        comment = COMMENT.search(text, place)
        if comment is None:
            break
        end = comment.end()
        if comment[0] == "/*":
            close = text.find("*/", end)
            if close < 0:
                parts.append(text[place:end])
                rest = text[end:]
                parts.append(LINE_COMMENT.sub("", rest))
                return "".join(parts)
            end = close + 2
        parts.append(text[place : comment.start()])
        place = end
    parts.append(text[place:])
    return "".join(parts)

"""graph/prompts."""

import random
import re
from datetime import datetime
from typing import Any

from .nodes import Graph, Target, graph_nodes, node_inputs, plain_title

COMMENT = re.compile(r"/\*|//[^\n\r\u2028\u2029]*")
CHOICE = re.compile(r"(?<!\\)\{((?:\\.|[^{}\\])*)\}", re.DOTALL)  # with no other choice inside
MAX_CHOICE_DEPTH = 32


def without_comments(text: str) -> str:
    """A text without its `/*…*/` and `//…`, in a time that grows with its length only."""
    kept: list[str] = []
    place = 0
    while found := COMMENT.search(text, place):
        end = found.end()
        if found[0] == "/*":
            close = text.find("*/", end)
            if close < 0:
                kept.append(text[place:end])
                kept.append(re.sub(r"//[^\n\r\u2028\u2029]*", "", text[end:]))
                return "".join(kept)
            end = close + 2
        kept.append(text[place : found.start()])
        place = end
    return "".join(kept) + text[place:]


def dynamic_prompt(text: str, rng: random.Random | None = None) -> str:
    """A text as the front end sends it: without comments, one of each `{a|b}` chosen; `\\{` stands for a brace.

    Without `rng` it is the first of them, so that converting twice gives the same.
    """

    def choose(found: re.Match[str]) -> str:
        choices = re.split(r"(?<!\\)\|", found[1])
        return rng.choice(choices) if rng else choices[0]

    text = without_comments(text)
    for _ in range(MAX_CHOICE_DEPTH):  # the innermost ones first
        text, count = CHOICE.subn(choose, text)
        if not count:
            break
    return re.sub(r"\\([{}|])", r"\1", text)


DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")
REPLACED = re.compile(r"%([^%]+)%")
NOT_IN_FILE_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def as_sent(graph: Graph, dynamic: frozenset[Target], rng: random.Random, now: datetime) -> dict[str, Any]:
    """The graph as the front end sends it this time: a choice made in each text of `dynamic` (see `read_ui`), and the
    date and other nodes' values written into the names of files. The server's own `%year%` and the like stay."""
    nodes = graph_nodes(graph)
    named: dict[str, str] = {}  # nodes by class and by title; a class goes before a title, and the first before others
    for node_id, node in nodes.items():
        named.setdefault(node["class_type"], node_id)
    for node_id, node in nodes.items():
        named.setdefault(plain_title(node), node_id)

    def value(found: re.Match[str]) -> str:
        name, dot, widget = found[1].partition(".")
        if not dot or "." in widget:
            return format_date(found[1][5:], now) if name.startswith("date:") else found[0]
        held = node_inputs(nodes.get(named.get(name, ""))).get(widget)
        # A link or a list has no text, and neither has a widget that the node lacks.
        return NOT_IN_FILE_NAMES.sub("_", as_shown(held)) if isinstance(held, (str, int, float)) else found[0]

    changed: dict[str, dict[str, Any]] = {}
    for target in sorted(dynamic, key=lambda target: (target.node_id, target.input)):
        text = node_inputs(nodes.get(target.node_id)).get(target.input)
        if isinstance(text, str):
            changed.setdefault(target.node_id, {})[target.input] = dynamic_prompt(text, rng)
    for node_id, node in nodes.items():
        prefix = node_inputs(node).get("filename_prefix")
        if isinstance(prefix, str) and "%" in prefix:
            changed.setdefault(node_id, {})["filename_prefix"] = REPLACED.sub(value, prefix)
    return {
        node_id: {**node, "inputs": {**node_inputs(node), **changed[node_id]}} if node_id in changed else node
        for node_id, node in graph.items()
    }


def format_date(pattern: str, now: datetime) -> str:
    """A date as the front end writes it: yyyy yy MM M dd d hh h (of 24) mm m ss s; every other letter stays."""
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def write(found: re.Match[str]) -> str:
        part = found[0]
        if part[0] != "y":
            return str(parts[part[0]]).zfill(len(part))
        return {"yyyy": str(now.year), "yy": str(now.year)[2:]}.get(part, part)

    return DATE_PART.sub(write, pattern)


def as_shown(value: str | float) -> str:
    """A widget's value as JavaScript writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)

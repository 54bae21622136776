"""Draw a graph as a Mermaid flowchart that Open WebUI shows in a message.

`mermaid` reads the graph's links (see graph/links) and gives

    flowchart LR
        n1["Load Checkpoint<br/>CheckpointLoaderSimple"]
        n2["KSampler"]
        rest["… and 5 more"]
        n1 -->|"MODEL"| n2
        classDef loader fill:#dbeafe,stroke:#2563eb,color:#111827
        class n1 loader

In a large graph, loaders, samplers and outputs come first. A drawing that is too long is drawn
again without the types of its links, then with fewer nodes. Titles are somebody else's text in a
language full of markup: `drawn_text` leaves nothing of them but text.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from ..names import shortened
from .links import Wiring
from .nodes import plain_title

# How much is drawn.
MAX_DRAWN = 60  # nodes
MAX_DRAWING = 6000  # characters of the whole drawing
MAX_LABEL = 40  # characters of a title or class
MAX_TOLD_LINKS = 45  # with more links, their types would hide the rest
MAX_WIDE = 7  # nodes from left to right; a longer way goes from top to bottom

# Fill, border and text colour are set together, so that a node can be read on a light and on a dark
# page.
DRAWN_STYLES: Mapping[str, str] = {
    "loader": "fill:#dbeafe,stroke:#2563eb,color:#111827",
    "sampler": "fill:#fef3c7,stroke:#d97706,color:#111827",
    "output": "fill:#dcfce7,stroke:#16a34a,color:#111827",
}


def mermaid(wiring: Wiring) -> str:
    """The graph as a Mermaid flowchart: its most telling nodes, `MAX_DRAWN` at most, and fewer
    where it gets longer than `MAX_DRAWING`.
    """
    ranked = _ranked(wiring)
    text = ""
    for count in (MAX_DRAWN, 45, 30, 20, 12, 6):
        for shows_types in (True, False):
            text = _drawing(wiring, ranked, count, shows_types)
            if len(text) <= MAX_DRAWING:
                return text
    return text


def _ranked(wiring: Wiring) -> list[str]:
    """The nodes, most telling first: outputs, samplers and loaders, what lies between them, nodes
    that only give numbers or texts, and last what no output needs.
    """
    needed = wiring.needed()

    def rank(node_id: str) -> int:
        if node_id not in needed:
            return 3
        if _role(wiring, node_id):
            return 0
        kinds = {link.type for link in wiring.out_of[node_id]}
        if kinds <= {"", "INT", "FLOAT", "STRING", "BOOLEAN"}:
            return 2
        return 1

    return sorted(wiring.nodes, key=rank)


def _role(wiring: Wiring, node_id: str) -> str:
    """The part that a node plays, if it is one that has a colour: "output", "sampler", "loader",
    else "".
    """
    if wiring.is_output(node_id):
        return "output"
    if wiring.uses_diffusion_model(node_id) or wiring.takes(node_id, "GUIDER"):
        return "sampler"
    if "load" in wiring.class_type(node_id).lower() and not wiring.takes(node_id, "MODEL"):
        return "loader"
    return ""


def _drawing(wiring: Wiring, ranked: Sequence[str], count: int, shows_types: bool) -> str:
    """The drawing of the first `count` of the ranked nodes, with the types of the links if
    `shows_types`.
    """
    names = _drawn_names(wiring, ranked, count)
    links = _drawn_links(wiring, names)
    direction = "TD" if _steps(links) > MAX_WIDE else "LR"
    lines = [f"flowchart {direction}"]
    for node_id, name in names.items():
        label = drawn_label(wiring, node_id)
        lines.append(f'    {name}["{label}"]')
    left_out = len(ranked) - len(names)
    if left_out:
        lines.append(f'    rest["… and {left_out} more"]')
    shows_types = shows_types and len(links) <= MAX_TOLD_LINKS
    for (source, target), types in links.items():
        arrow = _arrow(types) if shows_types else "-->"
        lines.append(f"    {names[source]} {arrow} {names[target]}")
    lines += _style_lines(wiring, names)
    return "\n".join(lines)


def _drawn_names(wiring: Wiring, ranked: Sequence[str], count: int) -> dict[str, str]:
    """The names, n1, n2 and so on, of the nodes that are drawn, in the graph's order."""
    if len(ranked) > count:  # the node that stands for the rest counts as well
        count -= 1
    drawn = set(ranked[:count])
    names: dict[str, str] = {}
    for node_id in wiring.nodes:
        if node_id in drawn:
            names[node_id] = f"n{len(names) + 1}"
    return names


def _arrow(types: Iterable[str]) -> str:
    """An arrow with the types of its links: -->|"MODEL"|; without any where nothing tells them."""
    label = ", ".join(kind for kind in types if kind)
    if not label:
        return "-->"
    return f'-->|"{drawn_text(label)}"|'


def _drawn_links(
    wiring: Wiring, nodes: Mapping[str, str]
) -> dict[tuple[str, str], dict[str, None]]:
    """The types of the links between each two of these nodes, by (source, target)."""
    types: dict[tuple[str, str], dict[str, None]] = {}
    for node_id in nodes:
        for link in wiring.into[node_id]:
            if link.source not in nodes:
                continue
            between = types.setdefault((link.source, node_id), {})
            between[link.type] = None
    return types


def _style_lines(wiring: Wiring, names: Mapping[str, str]) -> list[str]:
    """The lines that colour nodes by their roles; `names` are those of the nodes in the drawing."""
    by_role: dict[str, list[str]] = {}
    for node_id, name in names.items():
        role = _role(wiring, node_id)
        by_role.setdefault(role, []).append(name)
    lines: list[str] = []
    for role, style in DRAWN_STYLES.items():
        if role in by_role:
            members = ",".join(by_role[role])
            lines.append(f"    classDef {role} {style}")
            lines.append(f"    class {members} {role}")
    return lines


def _steps(links: Iterable[tuple[str, str]]) -> int:
    """How many nodes the longest way over these links (source, target) has; a way ends where it
    runs into a circle.
    """
    onward: dict[str, list[str]] = {}
    missing: dict[str, int] = {}  # by target: links from nodes whose length is not known yet
    for source, target in links:
        onward.setdefault(source, []).append(target)
        missing[target] = missing.get(target, 0) + 1
    length = {source: 1 for source in onward if source not in missing}
    waiting = list(length)
    while waiting:
        source = waiting.pop()
        longer = length[source] + 1
        for target in onward.get(source, ()):
            length[target] = max(length.get(target, 0), longer)
            missing[target] -= 1
            if missing[target] == 0:
                waiting.append(target)
    return max(length.values(), default=0)


def drawn_label(wiring: Wiring, node_id: str) -> str:
    """A node's title and, on a second line, its class if that is another."""
    title = plain_title(wiring.nodes[node_id])
    class_type = wiring.class_type(node_id)
    if title == class_type:
        return drawn_text(title)
    return f"{drawn_text(title)}<br/>{drawn_text(class_type)}"


# What Mermaid takes for markup even where its characters are written as numbers: its own sign for
# such a character, icons, formulas, line breaks. A space of no width keeps their parts apart.
APART = (("ﬂ", "fl"), (":fa-", ":\u200bfa-"), ("$$", "$\u200b$"), ("\\n", "\\\u200bn"))


def drawn_text(text: str) -> str:
    """A text as it can stand between quotes in a drawing, where it is nothing but text: neither
    Mermaid, Markdown, HTML nor an icon. `cost: "5"` becomes `cost#58; #34;5#34;`.
    """
    shown = "".join(char for char in text if not _is_control(char))
    line = shortened(shown, MAX_LABEL) or "?"
    for markup, plain in APART:
        line = line.replace(markup, plain)
    safe = ""
    for place, char in enumerate(line):
        if _is_harmless(line, place):
            safe += char
        else:
            safe += f"#{ord(char)};"  # how Mermaid writes a character by its number
    # with "LR" behind it, it is a command even inside quotes
    return safe.replace("direction", "#100;irection")


def _is_control(char: str) -> bool:
    """Whether a character draws nothing and is no white space either."""
    category = unicodedata.category(char)
    return category.startswith("C") and not char.isspace()


def _is_harmless(line: str, place: int) -> bool:
    """Whether a character of a line can stand in a drawing as it is."""
    char = line[place]
    if char in "-_":  # inside a word they mean nothing
        is_inside = 0 < place < len(line) - 1
        return is_inside and line[place - 1].isalnum() and line[place + 1].isalnum()
    return char.isalnum() or char in " ,()/" or ord(char) > 160

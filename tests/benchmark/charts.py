"""Charts of the rows that the documentation shows, as SVG: bars with their medians and spreads.

A group of bars is one comparison, and has a scale of its own: each bar is measured against the first of its group. The
drawings have no ground and take their colours from the reader's page, light or dark.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .table import Line, shown

CHARTS: Mapping[str, tuple[str, str]] = {  # file: how the rows begin, and end, that it shows
    "speed-1.svg": ("1, ", "overhead"),
    "speed-3.svg": ("3, ", "calls, CPU"),
    "speed-6.svg": ("6, ", "jobs"),
}
TITLES = {
    "speed-1.svg": "What is added to the server's own time for a picture",
    "speed-3.svg": "CPU of a call, of many at once over four servers",
    "speed-6.svg": "Time of 100 jobs over four servers of different speeds",
}
WIDTH, LABELS, NUMBERS = 720, 190, 150  # of the drawing, and of its left and right columns
BAR, GAP, HEADING = 18, 8, 30  # heights

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.group { fill: #59636e }
.other { fill: #9aa4af }
.ours { fill: #2f6fde }
.spread { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .group { fill: #9198a1 }
  .other { fill: #6b7682 }
  .ours { fill: #5b9bff }
  .spread { stroke: #e6edf3 }
}
"""


@dataclass
class Drawing:
    """Shapes from the top to the bottom."""

    shapes: list[str] = field(default_factory=list)
    height: int = GAP

    def text(self, words: str, kind: str = "") -> None:
        """A line of text of its own."""
        self.shapes.append(f'<text class="{kind}" x="0" y="{self.height + BAR - 4}">{html.escape(words)}</text>')
        self.height += HEADING

    def bar(self, line: Line, scale: float) -> None:
        """A bar with its label, median, ratio and spread; `scale` is a unit's width."""
        top, middle = self.height, self.height + BAR / 2
        kind = "ours" if line.contender.startswith("this tool") else "other"
        low, high = (LABELS + value * scale for value in (min(line.values), max(line.values)))
        ratio = "" if line.ratio is None else f", {line.ratio:.2f} ×"
        number = f"{shown(line.median)} {line.unit}{ratio}"
        self.shapes += [
            f'<text x="0" y="{top + BAR - 5}">{html.escape(line.contender)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{line.median * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<line class="spread" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>',
            f'<text x="{WIDTH - NUMBERS + GAP}" y="{top + BAR - 5}">{number}</text>',
        ]
        self.height += BAR + GAP


def groups_of(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines by what they are compared with, which is the first of each group."""
    groups: list[list[Line]] = []
    for line in lines:
        if line.against is None:
            groups.append([])
        groups[-1].append(line)
    return groups


def chart(title: str, lines: Sequence[Line]) -> str:
    """A chart of these lines."""
    drawing = Drawing()
    drawing.text(title, "title")
    for group in groups_of(lines):
        drawing.text(group[0].row.split(", ", 1)[1], "group")
        longest = max(max(line.values) for line in group)
        for line in group:
            drawing.bar(line, (WIDTH - LABELS - NUMBERS) / longest)
        drawing.height += GAP
    size = f'viewBox="0 0 {WIDTH} {drawing.height}" width="{WIDTH}" height="{drawing.height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{html.escape(title)}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *drawing.shapes, "</svg>", ""])


def write_charts(lines: Sequence[Line], folder: Path) -> list[Path]:
    """Draw what was measured of the rows that have a chart; the files."""
    written: list[Path] = []
    for name, (begin, end) in CHARTS.items():
        drawn = [line for line in lines if line.row.startswith(begin) and line.row.endswith(end)]
        if drawn:
            path = folder / name
            path.write_text(chart(TITLES[name], drawn), encoding="utf-8")
            written.append(path)
    return written

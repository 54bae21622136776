"""A graph is drawn as a Mermaid flowchart: readable when it is large, and harmless whatever its titles say."""

import re
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.graphs import APART, DRAWN_LINE, SWITCH, defined, graph, sampled

KNOWN = defined(Switch=SWITCH)


def drawn(nodes: dict[str, Any]) -> list[str]:
    return [line.strip() for line in tool.mermaid(tool.Flow.of(nodes, KNOWN)).splitlines()]


def test_a_graph_is_drawn_with_titles_classes_types_and_roles() -> None:
    nodes = graph(
        a=("CheckpointLoaderSimple", {}, "Model"),
        b=("KSampler", {"model": "a.0", "nothing": "zz.0"}),
        c=("SaveLatent", {"samples": "b.0"}),
    )
    assert drawn(nodes)[:6] == [
        "flowchart LR",
        'n1["Model<br/>CheckpointLoaderSimple"]',
        'n2["KSampler"]',
        'n3["SaveLatent"]',
        'n1 -->|"MODEL"| n2',
        'n2 -->|"LATENT"| n3',
    ]
    assert {"class n1 loader", "class n2 sampler", "class n3 output"} <= set(drawn(nodes))


def test_every_style_sets_its_text_colour_beside_its_background() -> None:
    assert all("fill:" in style and "color:" in style for style in tool.DRAWN_STYLES.values())


@pytest.mark.parametrize(
    "title",
    [
        '"]; click n1 "javascript:alert(1)"',
        "<img src=x onerror=alert(1)>",
        "end",
        "```\n# x",
        "[a](http://x.test)",
        "1. **b** _i_",
        '%%{init: {"theme":"forest"}}%%',
        "#quot; &lt;",
        "a\u202eb\u200b\x00\ud800",
        "---",
        "direction LR",
        "\U0001f98a" * 100,
    ],
)
def test_no_title_is_more_than_text_in_a_drawing(title: str) -> None:
    nodes = graph(a=(title, {}, title), b=("Nobody's", {"model": "a.0"}, f"x{title}"))
    text = tool.mermaid(tool.Flow.of(nodes, {title: tool.NodeDefinition(title, {}, outputs=(f"{title}",))}))
    assert all(DRAWN_LINE.fullmatch(line) for line in text.split("\n"))
    assert "direction" not in text
    assert max(map(len, re.sub(r"#\d+;", "x", text).split("\n"))) < 120


def test_a_large_graph_is_drawn_by_its_most_telling_nodes() -> None:
    nodes = graph(**{f"x{n}": ("PrimitiveInt", {"value": n}) for n in range(200)})
    nodes |= sampled(model="loader.0", **APART)
    lines = drawn(nodes)
    assert sum('["' in line for line in lines) == tool.MAX_DRAWN
    assert f'rest["… and {len(nodes) - tool.MAX_DRAWN + 1} more"]' in lines
    assert all(any(name in line for line in lines) for name in ("UNETLoader", "KSampler", "SaveImage"))


def test_a_drawing_has_a_largest_size() -> None:
    dense = {
        str(n): {
            "class_type": "KSampler",
            "inputs": {f"i{k}": [str(k), 0] for k in range(n)},
            "_meta": {"title": '"' * 99},
        }
        for n in range(300)
    }
    assert len(tool.mermaid(tool.Flow.of(dense, KNOWN))) <= tool.MAX_DRAWING


def test_a_long_way_is_drawn_from_top_to_bottom() -> None:
    nodes = {str(n): {"class_type": "ImageInvert", "inputs": {"image": [str(n - 1), 0]}} for n in range(12)}
    assert drawn(nodes)[0] == "flowchart TD"


def test_circles_and_nothing_at_all_are_drawn() -> None:
    assert drawn({}) == ["flowchart LR"]
    assert "n1 --> n1" in drawn(graph(a=("X", {"a": "a.0"})))

"""What a graph costs: the expressions of price badges, worked out as JSONata does, and the price of a whole graph."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.graphs import graph
from tests.support.growth import grows_with_length_only

# Badges of ComfyUI 0.33.0, with values of their widgets, and what the library jsonata 2.2.2 makes of them.
RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded_prices.json").read_text())
BEYOND = {"FishAudioTextToSpeech"}  # needs a pattern


def plain(value: Any) -> Any:
    """A value without what is missing, and with numbers as recorded ones are compared."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not tool.MISSING}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if value is tool.MISSING:
        return None
    return pytest.approx(value, abs=1e-9) if tool.is_number(value) else value


# --- expressions ---


@pytest.mark.parametrize("badge", [row for row in RECORDED if row["node"] not in BEYOND], ids=lambda row: row["node"])
def test_a_badge_of_comfyui_is_worked_out_as_jsonata_does(badge: dict[str, Any]) -> None:
    for case in badge["cases"]:
        assert case["gives"] == plain(tool.work_out(badge["expr"], case["fields"]))


def test_a_choice_works_out_one_side_only() -> None:
    assert tool.work_out('true ? 1 : "a" * 2', {}) == 1


def test_a_variable_of_a_block_is_not_one_of_the_block_around_it() -> None:
    assert tool.work_out("($x := 1; ($x := 2; $x); $x)", {}) == 1


def test_what_is_not_there_is_false_and_stays_away_from_sums() -> None:
    assert tool.work_out("(widgets.none ? 1 : 2)", {"widgets": {}}) == 2
    assert tool.work_out("1 + widgets.none", {"widgets": {}}) is tool.MISSING


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "(",
        "1 +",
        '"a" + 1',
        "1 / 0",
        "1e308 * 1e308",
        "1e999",
        "$match(widgets.text, /x/)",
        "$eval('1')",
        "widgets.__class__()",
        "[1..9999999]",
        "widgets.model ~> $uppercase",
        "function($x){$x}(1)",
        "($f := function($x){$f($x)}; $f(1))",
        "($f := function($x){$x}; $g := function($x){$f($x)}; $g(1))",
        f"($f := function($x){{$x}}; {'+'.join(['$f(1)'] * 21)})",
        "(" * 61 + "1" + ")" * 61,
        "-" * 2000 + "1",
        "1" + "+1" * 9000,
        '($a := "' + "x" * 600 + '"; $b := $a & $a; $b)',
        " " * 20_001 + "1",
        '{"usd": {"usd": 1}} = {"usd": 1}',
        "$round(1, 'many')",
        "$number('many')",
        "$max([])",
    ],
    ids=lambda expression: expression[:30].strip(),
)
def test_what_is_beyond_the_language_or_too_much_of_it_is_refused(expression: str) -> None:
    with pytest.raises(tool.NotWorkedOut):
        tool.work_out(expression, {"widgets": {"text": "a", "model": "b"}})


@pytest.mark.parametrize(
    ("unit", "begin", "end"),
    [
        ("$x := $x * 2;", "($x := 1;", "1)"),
        ('"a", ', "[", "1]"),
        ("true ? ", "", "1"),
        ("((", "", ""),
        ('"', "", ""),
        ("a.", "", "a"),
        ('{"a":', "", ""),
        ("$lookup(", "", ""),
        ("\\", '"', '"'),
        ("   ", "", "1"),
    ],
)
def test_working_out_takes_time_by_the_length_only(
    unit: str, begin: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "MOST_EXPRESSION_CHARACTERS", 1_000_000)

    def read(text: str) -> None:
        with contextlib.suppress(tool.NotWorkedOut):
            tool.work_out(text, {})

    assert grows_with_length_only(read, unit, begin, end)


# --- graphs ---


def partner(expression: str | None, takes: dict[str, Any] | None = None, **depends: Any) -> dict[str, Any]:
    """A partner node as ComfyUI 0.33.0 describes it."""
    badge = None
    if expression is not None:
        kinds = {name: takes[name][0] for name in depends.get("widgets", ()) if takes}
        widgets = [{"name": name, "type": kind} for name, kind in kinds.items()]
        depends_on = {"inputs": [], "input_groups": []} | depends | {"widgets": widgets}
        badge = {"engine": "jsonata", "expr": expression, "depends_on": depends_on}
    return {"input": {"required": takes or {}}, "output": ["IMAGE"], "api_node": True, "price_badge": badge}


SECONDS = {"duration": ["INT", {"default": 5}], "mode": ["COMBO", {"options": ["Std", "Pro"], "default": "Std"}]}
BY_SECONDS = '{"type": "usd", "usd": (widgets.mode = "pro" ? 0.2 : 0.1) * widgets.duration}'
FIXED = '{"type": "usd", "usd": 0.5}'
NODES = {
    "Fixed": partner(FIXED),
    "Film": partner(BY_SECONDS, SECONDS, widgets=["duration", "mode"]),
    "Rough": partner('{"type": "range_usd", "min_usd": 0.01, "max_usd": 0.3, "format": {"approximate": true}}'),
    "PerSecond": partner('{"type": "usd", "usd": 0.05, "format": {"suffix": "/second"}}'),
    "PerSecondOf": partner(
        '{"type": "usd", "usd": 0.05, "format": {"suffix": "/second"}}',
        {"video": ["VIDEO", {}], "speech.audio": ["AUDIO", {}], "image": ["IMAGE", {}]},
    ),
    "PerMinute": partner('{"type": "usd", "usd": 0.6, "format": {"suffix": "/minute"}}', {"audio": ["AUDIO", {}]}),
    "Timed": partner(
        '{"type": "range_usd", "min_usd": 0.1, "max_usd": 0.2, "format": {"suffix": "/s"}}',
        {"model.duration": ["COMBO", {"options": ["auto", "5", "10"]}]},
    ),
    "PerImage": partner('{"type": "usd", "usd": 0.134, "format": {"suffix": "/Image (1K)"}}'),
    "Images of a run": partner(
        '{"type": "usd", "usd": 0.03, "format": {"suffix": " x images/Run"}}', {"max_images": ["INT", {"default": 1}]}
    ),
    "Layers": partner('{"type": "usd", "usd": 0.03, "format": {"suffix": " x images/Run"}}'),
    "PerRun": partner('{"type": "usd", "usd": 0.05, "format": {"suffix": "/Run"}}'),
    "Tokens": partner('{"type": "list_usd", "usd": [0.1, 0.2], "format": {"suffix": " per 1K tokens"}}'),
    "Text": partner('{"type": "text", "text": "Token-based"}'),
    "Pays": partner('{"type": "usd", "usd": 0 - 5}'),
    "Silent": partner(None),
    "Old": {"input": {"required": {}}, "output": ["IMAGE"], "api_node": True},
    "Joined": partner(
        '{"type": "usd", "usd": (inputs.image.connected ? 1 : 2) + $lookup(inputGroups, "model.images") * 10}',
        inputs=["image"],
        input_groups=["model.images"],
    ),
    "Images": {"input": {"required": {}}, "output": ["IMAGE"], "output_is_list": [True]},
    "PrimitiveInt": {"input": {"required": {"value": ["INT", {}]}}, "output": ["INT"]},
    "Sum": {"input": {"required": {"value": ["INT", {}]}}, "output": ["INT"]},
    "easy forLoopStart": {"input": {"required": {}}, "output": ["FLOW"]},
    "Free": {"input": {"required": {}}, "output": ["IMAGE"], "api_node": False},
}
KNOWN = {name: tool.NodeDefinition.parse(name, raw) for name, raw in NODES.items()}


def price(**nodes: Any) -> tool.Price:
    """What a graph of these nodes costs."""
    found = tool.price_of(graph(**nodes), KNOWN)
    assert found
    return found


def test_a_graph_without_partner_nodes_costs_nothing() -> None:
    assert tool.price_of(graph(a=("Free", {}), b=("Unknown", {})), KNOWN) is None


def test_the_price_is_that_of_the_values_in_the_graph() -> None:
    assert price(a=("Film", {"duration": 10, "mode": "Pro"})).words == "$2"


def test_a_value_that_the_graph_leaves_out_is_the_default() -> None:
    assert price(a=("Film", {"duration": 10})).words == "$1"


def test_a_value_counts_over_the_link_to_a_node_that_only_holds_it() -> None:
    held = price(a=("Film", {"duration": ["b", 0], "mode": "Std"}), b=("PrimitiveInt", {"value": 7}))
    assert held.words == "$0.7"


def test_a_value_over_a_link_to_any_other_node_is_not_known() -> None:
    assert price(a=("Film", {"duration": ["b", 0], "mode": "Std"}), b=("Sum", {"value": 7})).words == "amount unknown"


def test_links_into_inputs_and_groups_count() -> None:
    linked = {"image": ["b", 0], "model.images.image0": ["b", 0], "model.images.image1": ["b", 0]}
    assert price(a=("Joined", linked), b=("Free", {})).words == "$21"
    assert price(a=("Joined", {})).words == "$2"


def test_several_nodes_cost_their_sum() -> None:
    assert price(a=("Fixed", {}), b=("Rough", {})).words == "about $0.51 to $0.8"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ("PerSecond", "amount unknown ($0.05/second)"),
        ("PerRun", "$0.05"),
        ("Tokens", "amount unknown"),
        ("Text", "amount unknown"),
        ("Silent", "amount unknown"),
        ("Old", "amount unknown"),
    ],
)
def test_a_rate_of_nobody_knows_how_many_is_no_amount(node: str, words: str) -> None:
    assert price(a=(node, {})).words == words


@pytest.mark.parametrize(
    ("node", "inputs", "words"),
    [
        ("Timed", {"model.duration": "10"}, "about $1 to $2"),
        ("Timed", {"model.duration": "auto"}, "about $0.5 to $2"),  # all that the service may choose
        ("Timed", {"model.duration": ["held", 0]}, "amount unknown ($0.1 to $0.2/s)"),
        ("PerImage", {}, "about $0.134"),
        ("Images of a run", {"max_images": 4}, "about $0.03 to $0.12"),
        ("Images of a run", {}, "about $0.03"),
        ("Layers", {}, "amount unknown ($0.03 x images/Run)"),  # as many as it finds
    ],
)
def test_a_rate_is_paid_for_the_seconds_and_pictures_that_the_node_tells(
    node: str, inputs: dict[str, Any], words: str
) -> None:
    assert price(a=(node, inputs), held=("PrimitiveInt", {"value": 7})).words == words


def test_a_rate_is_paid_for_the_whole_seconds_of_what_the_node_is_given() -> None:
    def told(inputs: dict[str, Any], lengths: dict[str, float], node: str = "PerSecondOf") -> str:
        nodes = graph(a=(node, inputs), film=("Free", {}), voice=("Free", {}))
        found = tool.price_of(nodes, KNOWN, lengths)
        assert found
        return found.words

    assert told({"video": ["film", 0]}, {"film": 9.2}) == "about $0.5"
    assert told({"video": ["film", 0], "speech.audio": ["voice", 0]}, {"film": 9.2, "voice": 20.0}) == "about $1"
    assert told({"audio": ["voice", 0]}, {"voice": 30.0}, "PerMinute") == "about $0.3"
    unknown = "amount unknown ($0.05/second)"
    assert told({"video": ["film", 0], "speech.audio": ["voice", 0]}, {"film": 9.2}) == unknown
    assert told({"image": ["film", 0]}, {"film": 9.2}) == unknown


def test_one_unknown_amount_makes_the_sum_unknown() -> None:
    assert price(a=("Fixed", {}), b=("Silent", {})).most is None


def test_a_node_that_claims_to_pay_makes_nothing_cheaper() -> None:
    assert price(a=("Fixed", {}), b=("Pays", {})).most is None


def test_the_amount_is_unknown_where_a_node_may_run_several_times() -> None:
    assert price(a=("Fixed", {"image": ["b", 0]}), b=("Free", {"image": ["c", 0]}), c=("Images", {})).most is None
    assert price(a=("Fixed", {}), b=("easy forLoopStart", {})).most is None
    assert price(a=("Images", {"image": ["b", 0]}), b=("Fixed", {})).words == "$0.5"


def test_a_graph_with_too_many_partner_nodes_to_work_out_has_no_known_price() -> None:
    many = {f"n{number}": ("Fixed", {}) for number in range(51)}
    assert price(**many).most is None


def test_the_nodes_that_cost_something_are_named() -> None:
    assert price(a=("Fixed", {}, "Make it"), b=("Free", {})).partners == ('"Make it" (Fixed)',)


def test_servers_that_know_no_badges_do_not_keep_keys_to_themselves() -> None:
    assert price(a=("Silent", {})).keeps_keys
    assert not price(a=("Silent", {}), b=("Old", {})).keeps_keys

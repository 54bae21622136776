"""A workflow as a value that never changes: a graph, and what can be set in it by name.

`Workflow.parse` takes a graph in ComfyUI's API format and finds its parameters (see
graph/discovery). Besides them every widget has a name, "<node title>.<input>". `bind` sets values
by such names and gives a new workflow:

    graph = {"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "{{who}}, in oil", "clip":
    ["4", 1]}}, ...} workflow = Workflow.parse("portrait", graph) workflow.bind({"who": "a fox",
    "seed": 7, "KSampler.cfg": 3.5}).filled().graph

Placeholders need more care than widgets, since texts can be bound again: `templates` keeps the
texts as they were saved, `given` what was bound to their placeholders, and the graph always holds
what follows from both. Before a run come `chosen`, which settles `{a|b}` in the saved texts,
`bind`, and `filled`, which leaves no placeholder. `spec` tells the type, range and choices of what
stands under a name, by the server's node definitions; `flow` is the index of the graph's links,
which everything that reads the graph shares.
"""

import functools
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import BadArgument, WorkflowRefused
from ..extents import extent_of
from ..names import closest, quoted, shortened, simplified
from ..values import same_value, share
from .definitions import Definitions, InputSpec
from .discovery import ALIASES, discover
from .facts import FileInput, file_inputs
from .input_names import PARAMETERS
from .nodes import NO_DEFINITIONS, Graph, Target, has_same_links, is_link, node_inputs, plain_title
from .prompts import dynamic_prompt
from .reading import EXPECTED
from .remarks import NO_REMARKS, Remarks
from .search import Flow

Targets = tuple[Target, ...]  # the widgets of one parameter
Meanings = dict[str, Targets | None]  # what names mean; None where one could mean several things
SIMPLE_ALIASES = {simplified(alias): name for alias, name in ALIASES.items()}


def is_node(value: Any) -> bool:
    """Whether a value is a node of a graph in the API format."""
    return isinstance(value, dict) and isinstance(value.get("class_type"), str)


@dataclass(frozen=True)
class Workflow:
    """A graph in ComfyUI's API format, and the parameters found in it.

    A parameter's `Target`s are the widgets that hold it; all of them are set together. Nothing here
    changes an object: `bind`, `set`, `chosen` and `filled` give new ones, which share what has not
    changed.
    """

    name: str
    graph: Graph
    parameters: Mapping[str, Targets]
    # texts with placeholders, as they were saved
    templates: Mapping[Target, str] = field(default_factory=dict)
    # what was bound to placeholders: {"{{who}}": "a fox"}
    given: Mapping[str, Any] = field(default_factory=dict)
    # texts that `dynamic_prompt` rewrites before every run
    dynamic: frozenset[Target] = frozenset()
    # of its nodes, where known
    definitions: Definitions = field(default_factory=dict, compare=False, repr=False)
    # what its file tells beside the graph
    remarks: Remarks = field(default=NO_REMARKS, compare=False, repr=False)

    @classmethod
    def parse(
        cls,
        name: str,
        graph: Any,
        definitions: Definitions = NO_DEFINITIONS,
        dynamic: frozenset[Target] = frozenset(),
        remarks: Remarks = NO_REMARKS,
        mapped: Mapping[str, Targets] | None = None,
    ) -> "Workflow":
        """A workflow from a graph in the API format. Raises `WorkflowRefused` when it is not one.

        The more definitions of its node classes there are, the better its parameters are found;
        without any, names have to do. `dynamic` are the texts that the front end would rewrite
        before each run. `mapped` says of some parameters where they stand, and goes before what is
        found.
        """
        if not graph:
            raise WorkflowRefused("The workflow has no nodes.", EXPECTED)
        if not isinstance(graph, dict) or not all(map(is_node, graph.values())):
            raise WorkflowRefused("This is not a graph in ComfyUI's API format.", EXPECTED)
        flow = Flow.of(graph, definitions)
        parameters = discover(flow)
        for parameter, targets in (mapped or {}).items():
            if all(target.node_id in graph for target in targets):
                parameters[parameter] = targets
        templates: dict[Target, str] = {}
        for target in itertools.chain(*parameters.values()):
            if target.token:
                inputs = graph[target.node_id]["inputs"]
                templates[target.widget] = inputs[target.input]
        workflow = cls(name, graph, parameters, templates, {}, dynamic, definitions, remarks)
        workflow.__dict__["flow"] = flow  # as if the cached property had been read
        return workflow

    @functools.cached_property
    def extent(self) -> int:
        """How much there is to work through in it, as extents.py counts: the graph, and what its
        definitions list.
        """
        return extent_of(self.graph, *self.definitions.values())

    @functools.cached_property
    def flow(self) -> Flow:
        """The index of the graph's links, made when it is first read. A workflow that was made of
        one with an index takes that, where the links are the same, and else makes its own.
        """
        before = self._indexed_before
        if before is not None and has_same_links(before.nodes, self.graph):
            return before.with_nodes(self.graph)
        return Flow.of(self.graph, self.definitions)

    @functools.cached_property
    def _indexed_before(self) -> Flow | None:
        """The index of the workflow that this one was made of by `with_graph`; None for none."""
        return None

    @functools.cached_property
    def file_inputs(self) -> tuple[FileInput, ...]:
        """The widgets that name files to upload, as `facts` finds them."""
        return file_inputs(self.flow)

    @functools.cached_property
    def kept(self) -> dict[str, Any]:
        """Room for what others found out about it, each under a name of their own. Nothing in it
        ever changes, so that stays right, and it is forgotten with it.
        """
        return {}

    # What can be set, and what each name means.

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of everything that can be set: the parameters, then the widgets."""
        return (*self.parameters, *self.widgets)

    @functools.cached_property
    def widgets(self) -> Mapping[str, Target]:
        """Every input that holds a value and not a link, by "<node title>.<input>", in the graph's
        order. Where several nodes share a title, their ids tell them apart: "<node title>
        (<id>).<input>".
        """
        titles = {node_id: plain_title(node) for node_id, node in self.graph.items()}
        counts = Counter(map(simplified, titles.values()))
        named: dict[str, Target] = {}
        for node_id, title in titles.items():
            with_id = f"{title} ({node_id})"
            is_shared = counts[simplified(title)] > 1
            label = with_id if is_shared else title
            for key, value in node_inputs(self.graph[node_id]).items():
                if is_link(value):
                    continue
                name = f"{label}.{key}"
                if name in named:
                    name = f"{with_id}.{key}"
                named[name] = Target(node_id, key)
        return named

    def find(self, name: str) -> Targets | None:
        """The widgets that a name means, or None when it means nothing or could mean several
        things.

        It may name a parameter or an alias of one, a widget, "<node id>.<input>", or
        "<class>.<input>" when only one node fits. Case, spaces and underscores do not matter.
        """
        if self.parameters.get(name):
            return self.parameters[name]
        if "." not in name:  # as there is in the name of every widget
            simple = simplified(name)
            return self._simple_parameters.get(simple) or self.parameters.get(
                SIMPLE_ALIASES.get(simple, "")
            )
        if name in self.widgets:
            return (self.widgets[name],)
        return self._lookup.get(simplified(name))

    @functools.cached_property
    def _simple_parameters(self) -> Meanings:
        """The parameters by their simplified names."""
        return {simplified(name): targets for name, targets in self.parameters.items()}

    @functools.cached_property
    def _lookup(self) -> Meanings:
        """What each simplified name with a "." in it means, None where it could mean several
        things. What names a parameter counts first, then titles, classes, and ids.
        """
        classes: Meanings = {}
        titles: Meanings = {}
        ids: Meanings = {}
        for name, widget in self.widgets.items():
            class_type = self.graph[widget.node_id]["class_type"]
            by_title = simplified(name)
            by_class = simplified(f"{class_type}.{widget.input}")
            by_id = simplified(f"{widget.node_id}.{widget.input}")
            titles[by_title] = None if by_title in titles else (widget,)
            classes[by_class] = None if by_class in classes else (widget,)
            ids[by_id] = (widget,)
        return {**ids, **classes, **titles, **self._simple_parameters}

    def _targets(self, name: str) -> Targets:
        """The widgets that a name means. Raises `BadArgument` with the closest names when there are
        none.
        """
        targets = self.find(name)
        if targets is None:
            similar = quoted(closest(name, self.names))
            message = f'The workflow "{self.name}" has no "{shortened(name)}".'
            raise BadArgument(message, f"The closest are: {similar}.")
        return targets

    # The values of a workflow, and what the server accepts.

    def value(self, name: str) -> Any:
        """What the graph holds under a name, or None when it has no such name or only an unbound
        placeholder there.
        """
        return self._held(self.find(name) or ())

    def _held(self, targets: Sequence[Target]) -> Any:
        """What the first of these widgets holds; a placeholder only counts where there are no plain
        ones.
        """
        for target in targets:
            if not target.token:
                node = self.graph[target.node_id]
                return node_inputs(node).get(target.input)
        if targets:
            return self.given.get(targets[0].token)
        return None

    @property
    def open(self) -> tuple[str, ...]:
        """The parameters that have no value: all their widgets are placeholders that nothing was
        bound to.
        """
        return tuple(
            name for name, targets in self.parameters.items() if all(map(self._is_unbound, targets))
        )

    def _is_unbound(self, target: Target) -> bool:
        """Whether a target is a placeholder that nothing was bound to."""
        return bool(target.token) and target.token not in self.given

    def spec(self, name: str) -> InputSpec:
        """What the server accepts under a name: any text where it does not know the class, or
        inside a text. Raises `BadArgument` for an unknown name.
        """
        target = self._targets(name)[0]
        if self._is_inside(target):
            return InputSpec("STRING")
        return self.widget_spec(target)

    def widget_spec(self, target: Target) -> InputSpec:
        """What the server accepts in a widget: any text where it does not know the class. The range
        of the input that reads the widget over a link comes before the widget's own.
        """
        for place in (target.reader, target):
            if place is None:
                continue
            node = self.graph[place.node_id]
            definition = self.definitions.get(node["class_type"])
            if definition is None:
                continue
            spec = definition.spec(place.input, node_inputs(node))
            if spec:
                return spec
        return InputSpec("STRING")

    def _is_inside(self, target: Target) -> bool:
        """Whether a target is a placeholder with text around it."""
        return bool(target.token) and self.templates.get(target.widget) != target.token

    # New workflows out of this one.

    def bind(self, values: Mapping[str, Any]) -> "Workflow":
        """The same workflow with these values, each under a name that `find` knows; raises
        `BadArgument` for another.

        A value that the workflow holds already changes nothing, not even where a parameter's
        widgets differ.
        """
        given = dict(self.given)
        widgets: dict[Target, Any] = {}
        for name, value in values.items():
            targets = self._targets(name)
            is_held = same_value(value, self._held(targets))
            for target in targets:
                if is_held:
                    # an earlier name for the same widget does not count any more
                    widgets.pop(target, None)
                elif target.token:
                    given[target.token] = value
                else:
                    widgets[target] = share(value, target.part)
        bound = self
        if given != self.given:
            bound = replace(self.set(self._texts(given)), given=given, templates=self.templates)
        return bound.set(widgets)

    def _texts(self, given: Mapping[str, Any]) -> dict[Target, Any]:
        """The texts with placeholders, as they are when these values are given for them."""
        texts: dict[Target, Any] = {}
        for widget, text in self.templates.items():
            tokens = self._tokens.get(widget, set()) & given.keys()
            texts[widget] = fill(text, {token: given[token] for token in tokens})
        return texts

    @functools.cached_property
    def _tokens(self) -> Mapping[Target, set[str]]:
        """The placeholders in each text that counts as having some. What looks like one elsewhere
        is plain text.
        """
        tokens: dict[Target, set[str]] = {}
        for target in itertools.chain(*self.parameters.values()):
            if target.token:
                tokens.setdefault(target.widget, set()).add(target.token)
        return tokens

    def set(self, widgets: Mapping[Target, Any]) -> "Workflow":
        """The same workflow with these widgets set. One with placeholders becomes a plain one: its
        saved text is forgotten.
        """
        if not widgets:
            return self
        graph = dict(self.graph)
        for target, value in widgets.items():
            node = graph[target.node_id]
            inputs = {**node_inputs(node), target.input: value}
            graph[target.node_id] = {**node, "inputs": inputs}
        changed = {target.widget for target in widgets}
        templates = {
            widget: text for widget, text in self.templates.items() if widget not in changed
        }
        return self.with_graph(graph, templates)

    def with_graph(self, graph: Graph, templates: Mapping[Target, str] | None = None) -> "Workflow":
        """The same workflow with another graph, and with other `templates` if any are given. An
        index that was made is taken along.
        """
        if templates is None:
            templates = self.templates
        workflow = replace(self, graph=graph, templates=templates)
        index = self.flow if "flow" in self.__dict__ else self._indexed_before
        if index is not None:
            workflow.__dict__["_indexed_before"] = index
        return workflow

    def chosen(self, rng: random.Random) -> "Workflow":
        """The same workflow with one of each `{a|b}` chosen in those `dynamic` texts that have
        placeholders.

        What is put in for the placeholders later is not chosen from: texts of private characters
        stand in for them.
        """
        dynamic = self.dynamic & self.templates.keys()
        if not dynamic:
            return self
        templates = dict(self.templates)
        for widget in sorted(dynamic, key=lambda target: (target.node_id, target.input)):
            tokens = [token for token, _ in self._placeholders(widget)]
            shields = {token: f"\ue000{place}\ue001" for place, token in enumerate(tokens)}
            shielded = str(fill(templates[widget], shields))
            text = dynamic_prompt(shielded, rng)
            tokens_back = {shield: token for token, shield in shields.items()}
            templates[widget] = str(fill(text, tokens_back))
        return replace(self, templates=templates)

    def _placeholders(self, widget: Target) -> Iterator[tuple[str, str]]:
        """The placeholders in a widget's text, each with the name of its parameter."""
        for name, targets in self.parameters.items():
            for target in targets:
                if target.token and target.widget == widget:
                    yield target.token, name

    @property
    def left_empty(self) -> list[str]:
        """The author's own names in texts to which nothing was bound, such as "style" in "a fox,
        {{style}}".
        """
        names: dict[str, None] = {}
        for widget, text in self.templates.items():
            for token, name in self._placeholders(widget):
                if text != token and name not in PARAMETERS and self.value(name) in (None, ""):
                    names[name] = None
        return list(names)

    def filled(self) -> "Workflow":
        """The same workflow with no placeholder left.

        One that nothing was bound to gives way to the node's default where it is the whole text.
        Inside a text it gives way to what the parameter holds in another widget, or to nothing.
        """
        widgets: dict[Target, Any] = {}
        for widget, text in self.templates.items():
            values: dict[str, Any] = {}
            for token, name in self._placeholders(widget):
                value = self.value(name)
                if value is None:
                    value = ""
                values[token] = value
            if text not in values:
                widgets[widget] = fill(text, {**values, **self.given})
            elif text not in self.given:
                widgets[widget] = default_value(self.widget_spec(widget))
        return self.set(widgets)


def fill(text: str, given: Mapping[str, Any]) -> Any:
    """A text with its placeholders replaced by what is given for them.

    With {"%steps%": 20} the text "%steps% steps" becomes "20 steps", and "%steps%" alone the number
    20 itself.
    """
    if text in given:
        return given[text]
    if not given:
        return text
    longest_first = sorted(given, key=len, reverse=True)
    tokens = "|".join(re.escape(token) for token in longest_first)
    return re.sub(tokens, lambda match: str(given[match[0]]), text)


def default_value(spec: InputSpec) -> Any:
    """What an input holds when nobody says anything: its default, else its minimum or 0, False, or
    an empty text.
    """
    if spec.default is not None:
        return spec.default
    if spec.type in ("INT", "FLOAT"):
        return spec.minimum or 0
    if spec.type == "BOOLEAN":
        return False
    return ""

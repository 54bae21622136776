"""Is a posted graph accepted, and if not, why: with the server's own words."""

from __future__ import annotations

import contextlib
import operator
from dataclasses import dataclass, field
from typing import Any

from .files import Files
from .release import Release

Graph = dict[str, Any]
LONG_LIST = 20
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")
VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov")
SUFFIXES = {"image": IMAGE_SUFFIXES, "audio": AUDIO_SUFFIXES, "video": VIDEO_SUFFIXES}
# Inputs that the node itself checks: an uploaded file need not be in the list of choices.
CHECKED_BY_NODE = {
    ("LoadImage", "image"): "Invalid image file: {}",
    ("LoadImageMask", "image"): "Invalid image file: {}",
    ("LoadAudio", "audio"): "Invalid audio file: {}",
    ("LoadVideo", "file"): "Invalid video file: {}",
}


@dataclass
class Refused(Exception):
    """The answer to a graph that is not accepted at all."""

    type: str
    message: str
    details: str = ""
    extra_info: dict[str, Any] = field(default_factory=dict)
    node_errors: dict[str, Any] = field(default_factory=dict)

    @property
    def answer(self) -> dict[str, Any]:
        error = {"type": self.type, "message": self.message, "details": self.details, "extra_info": self.extra_info}
        return {"error": error, "node_errors": self.node_errors}


@dataclass
class Accepted:
    outputs: list[str]
    node_errors: dict[str, Any]


class Definitions:
    """The node definitions of a release, with the files that this server has."""

    def __init__(
        self,
        release: Release,
        models: dict[str, list[str]],
        files: Files,
        custom: dict[str, dict[str, Any]],
    ) -> None:
        self._definitions = {**release.definitions, **custom}
        self._models = models
        self._files = files

    def __contains__(self, class_type: object) -> bool:
        return class_type in self._definitions

    def __iter__(self) -> Any:
        return iter(self._definitions)

    def __getitem__(self, class_type: str) -> dict[str, Any]:
        definition = dict(self._definitions[class_type])
        definition["input"] = {
            section: {name: self._filled(spec) for name, spec in inputs.items()}
            for section, inputs in definition["input"].items()
        }
        return definition

    def _filled(self, spec: Any) -> Any:
        if isinstance(spec, list) and spec and isinstance(spec[0], list):
            return [self._choices(spec[0]), *spec[1:]]
        if isinstance(spec, list) and spec and spec[0] == "COMBO" and "options" in spec[1]:
            return ["COMBO", {**spec[1], "options": self._choices(spec[1]["options"])}]
        return spec

    def _choices(self, choices: list[Any]) -> list[Any]:
        filled: list[Any] = []
        for choice in choices:
            if not isinstance(choice, str) or not choice.startswith("@"):
                filled.append(choice)
            elif choice.startswith("@input:"):
                suffixes = SUFFIXES[choice.removeprefix("@input:")]
                filled += [name for name in self._files.names("input") if name.lower().endswith(suffixes)]
            else:
                filled += self._models.get(choice.removeprefix("@"), [])
        return filled


def choices_of(spec: list[Any]) -> list[Any] | None:
    """A combo's choices in either of its two shapes."""
    if isinstance(spec[0], list):
        return spec[0]
    return spec[1]["options"] if spec[0] == "COMBO" and len(spec) > 1 else None


def fits(received: str, wanted: str) -> bool:
    if "*" in (received, wanted) or received.startswith("COMFY_MATCHTYPE"):
        return True
    return not set(received.split(",")).isdisjoint(wanted.split(","))


def check(graph: Any, definitions: Definitions, release: Release, files: Files, targets: Any = None) -> Accepted:
    """The outputs of the graph that will run. Raises Refused; anything else raised is the server's own 500."""
    outputs = []
    if release.newer_validation and not isinstance(graph, dict):
        raise TypeError("the older release finds no outputs in a list, the newer one falls over it")
    for node_id in graph:
        node = graph[node_id]
        if "class_type" not in node:
            raise missing_type(release, node_id, node)
        if node["class_type"] not in definitions:
            raise missing_type(release, node_id, node, node["class_type"])
        if definitions[node["class_type"]]["output_node"] and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        raise Refused("prompt_no_outputs", "Prompt has no outputs")
    checker = Checker(graph, definitions, release, files)
    good, complaints = [], []
    for output in sorted(outputs):
        errors = checker.output(output)
        if errors is None:
            good.append(output)
        else:
            complaints += errors
    if good:
        return Accepted(good, checker.node_errors)
    details = "\n".join(f"{error['message']}: {error['details']}" for error in complaints)
    message = "Prompt outputs failed validation"
    raise Refused("prompt_outputs_failed_validation", message, details, {}, checker.node_errors)


def missing_type(release: Release, node_id: str, node: Any, class_type: str | None = None) -> Refused:
    if class_type is None:
        message = "Cannot execute because a node is missing the class_type property."
    else:
        message = f"Cannot execute because node {class_type} does not exist."
    if not release.newer_validation:
        return Refused("invalid_prompt", message, f"Node ID '#{node_id}'")
    title = node.get("_meta", {}).get("title")
    if class_type is None:
        named = title or f"ID #{node_id}"
        message = f"Node '{named}' has no class_type. The workflow may be corrupted or a custom node is missing."
    else:
        message = f"Node '{title or class_type}' not found. The custom node may not be installed."
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title or class_type}
    return Refused("missing_node_type", message, f"Node ID '#{node_id}'", extra)


class Checker:
    def __init__(self, graph: Graph, definitions: Definitions, release: Release, files: Files) -> None:
        self.graph = graph
        self.definitions = definitions
        self.release = release
        self.files = files
        self.node_errors: dict[str, Any] = {}
        self._checked: dict[str, bool] = {}
        self._errors: dict[str, list[dict[str, Any]]] = {}
        self._under_way: list[str] = []

    def _cycle(self, again: str) -> Refused:
        """The older release finds no words for a cycle."""
        message = "Prompt outputs failed validation"
        if not self.release.newer_validation:
            return Refused("prompt_outputs_failed_validation", message)
        ring = self._under_way[self._under_way.index(again) :]
        details = " -> ".join(f"{node} ({self.graph[node]['class_type']})" for node in [*ring, again])
        errors = {
            node: {
                "errors": [
                    complaint(
                        "dependency_cycle",
                        "Dependency cycle detected",
                        details,
                        {"node_id": node, "cycle_nodes": ring},
                    )
                ],
                "dependent_outputs": self._under_way[:1],
                "class_type": self.graph[node]["class_type"],
            }
            for node in ring
        }
        return Refused("prompt_outputs_failed_validation", message, "", {}, errors)

    def output(self, node_id: str) -> list[dict[str, Any]] | None:
        """None when the output can run; else what its own node is told (its ancestors' errors are in node_errors)."""
        try:
            if self.node(node_id):
                return None
        except Refused:
            raise
        except Exception as error:
            self._checked[node_id] = False
            info = {"exception_type": type(error).__name__, "traceback": []}
            told = complaint("exception_during_validation", "Exception when validating node", str(error), info)
            self._errors.setdefault(node_id, []).append(told)
        for node, errors in self._errors.items():
            if errors and node in self.graph:
                entry = self.node_errors.setdefault(
                    node, {"errors": errors, "dependent_outputs": [], "class_type": self.graph[node]["class_type"]}
                )
                if self._leads_to(node, node_id) and node_id not in entry["dependent_outputs"]:
                    entry["dependent_outputs"].append(node_id)
        return self._errors.get(node_id, [])

    def _leads_to(self, node: str, output: str, seen: frozenset[str] = frozenset()) -> bool:
        if node == output:
            return True
        inputs = self.graph.get(output, {}).get("inputs", {})
        sources = {str(value[0]) for value in inputs.values() if isinstance(value, list) and value}
        return any(self._leads_to(node, source, seen | {output}) for source in sources - seen if source in self.graph)

    def node(self, node_id: str) -> bool:
        if node_id in self._checked:
            return self._checked[node_id]
        if node_id in self._under_way:
            raise self._cycle(node_id)
        self._under_way.append(node_id)
        try:
            self._checked[node_id] = self._inputs(node_id)
        finally:
            self._under_way.remove(node_id)
        return self._checked[node_id]

    def _inputs(self, node_id: str) -> bool:
        given = self.graph[node_id]["inputs"]
        class_type = self.graph[node_id]["class_type"]
        errors = self._errors.setdefault(node_id, [])
        valid = True
        sections = self.definitions[class_type]["input"]
        required = sections.get("required", {})
        specs = {**required, **sections.get("optional", {})}
        for name, spec in self._with_chosen(specs, given).items():
            if name not in given:
                if (name in required or "." in name) and spec[0] != "COMFY_DYNAMICCOMBO_V3":
                    last = name.rpartition(".")[2]
                    told = {"input_name": name}
                    errors.append(complaint("required_input_missing", "Required input is missing", last, told))
                continue
            value = given[name]
            if isinstance(value, list):
                valid &= self._link(node_id, name, spec, value, errors)
            elif (class_type, name) in CHECKED_BY_NODE:
                self._file(class_type, name, value, errors)
            else:
                self._value(node_id, name, spec, value, errors)
        return valid and not errors

    def _with_chosen(self, specs: dict[str, Any], given: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        """The inputs, with those that a dynamic combo's chosen option adds; of these only the required ones."""
        result: dict[str, Any] = {}
        for name, spec in specs.items():
            result[prefix + name] = spec if len(spec) > 1 else [*spec, {}]
            if spec[0] == "COMFY_DYNAMICCOMBO_V3":
                for option in spec[1]["options"]:
                    if option["key"] == given.get(prefix + name):
                        inner = option["inputs"].get("required", {})
                        result |= self._with_chosen(inner, given, f"{prefix}{name}.")
        return result

    def _link(self, node_id: str, name: str, spec: list[Any], value: list[Any], errors: list[Any]) -> bool:
        if len(value) != 2:
            info = {"input_name": name, "input_config": spec, "received_value": value}
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(complaint("bad_linked_input", message, name, info))
            return False
        source, slot = value
        received = tuple(self.definitions[self.graph[source]["class_type"]]["output"])[slot]
        wanted = spec[0] if isinstance(spec[0], str) else "COMBO"
        if wanted == "COMFY_MATCHTYPE_V3":
            wanted = spec[1]["template"]["allowed_types"]
        if not fits(received, wanted):
            details = f"{name}, received_type({received}) mismatch input_type({wanted})"
            info = {"input_name": name, "input_config": spec, "received_type": received, "linked_node": value}
            errors.append(complaint("return_type_mismatch", "Return type mismatch between linked nodes", details, info))
            return False
        try:
            return self.node(source)
        except Refused:
            raise
        except Exception as error:
            self._checked[source] = False
            info = {"input_name": name, "input_config": spec, "exception_message": str(error)}
            info |= {"exception_type": type(error).__name__, "traceback": [], "linked_node": value}
            message = "Exception when validating inner node"
            self._errors[source] = [complaint("exception_during_inner_validation", message, str(error), info)]
            return False

    def _file(self, class_type: str, name: str, value: Any, errors: list[Any]) -> None:
        if not isinstance(value, str):
            raise AttributeError(f"'{type(value).__name__}' object has no attribute 'endswith'")
        if self.files.get(self.files.find(value, kind="input")) is None:
            details = f"{name} - {CHECKED_BY_NODE[class_type, name].format(value)}"
            message = "Custom validation failed for node"
            errors.append(complaint("custom_validation_failed", message, details, {"input_name": name}))

    def _value(self, node_id: str, name: str, spec: list[Any], value: Any, errors: list[Any]) -> None:
        kind, options = spec[0], spec[1] if len(spec) > 1 else {}
        told = {"input_name": name, "input_config": spec, "received_value": value}
        converters: dict[Any, Any] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
        if isinstance(kind, str) and kind in converters:
            try:
                value = self.graph[node_id]["inputs"][name] = converters[kind](value)
            except (TypeError, ValueError) as error:
                message = f"Failed to convert an input value to a {kind} value"
                details = f"{name}, {value}, {error}"
                errors.append(
                    complaint("invalid_input_type", message, details, {**told, "exception_message": str(error)})
                )
                return
        for bound, word, wrong in (("min", "smaller", operator.lt), ("max", "bigger", operator.gt)):
            with contextlib.suppress(TypeError):
                if kind in ("INT", "FLOAT") and bound in options and wrong(value, options[bound]):
                    message = f"Value {value} {word} than {bound} of {options[bound]}"
                    errors.append(
                        complaint(f"value_{word}_than_{bound}", message, name, {**told, "received_value": value})
                    )
                    return
        choices = choices_of(spec)
        if choices is None or (kind == "COMBO" and not self.release.newer_validation) or value in choices:
            return
        listed = str(choices)
        if len(choices) > LONG_LIST:
            listed, told["input_config"] = f"(list of length {len(choices)})", None
        details = f"{name}: '{value}' not in {listed}"
        errors.append(complaint("value_not_in_list", "Value not in list", details, told))


def complaint(kind: str, message: str, details: str, extra_info: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}

"""Reduce recordings of a real ComfyUI to the facts that the tests compare with.

    python -m tests.support.recorded.reduce RECORDINGS_DIR RELEASE

A recording is a file of JSON lines: websocket frames (src "ws:NAME"; kind text, binary, sent, open, close) and HTTP
exchanges (src "http") in order, with notes between them. One scenario becomes tests/support/recorded/RELEASE/NAME.json:
a list of sections (a note begins one), each with the frames that every socket got and the HTTP exchanges. What differs
from run to run (ids, times, seeds, tensors, tracebacks, paths) is replaced by a name, the rest is as it was.
The tests reduce what they see with the same functions.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support import RECORDED

Entry = dict[str, Any]

SCENARIOS = """
01a 01b 01c 01d 01e 01f 02 03 03b 04 04b 05 06 06b 07 08a 10 11 12 13 14 15 17 19 20a 20b 20c 21
"""
# Scenarios whose notes begin a case each; in the others they only comment.
SECTIONED = ("02", "04", "04b", "05", "06", "07", "10", "12", "13", "15", "19")
# Scenarios about answers: what ran beside them is no fact of theirs.
WITHOUT_FRAMES = ("04", "10", "11", "14", "15")
# Routes that the front end alone uses.
LEFT_OUT = re.compile(
    r"(/api)?/(internal|extensions|templates|experiment|i18n|v2|users|settings|workflow_templates|global_subgraphs)"
)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NUMBERED = re.compile(r"(?P<stem>.*)_(?P<number>\d{5})(?P<rest>_?\..*)")
TEMPORARY = re.compile(r"ComfyUI_temp_[a-z]{5}")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
PATHS = re.compile(r"'/[^']*/")
PROGRESS_KEYS = {
    "value", "max", "state", "node_id", "prompt_id", "display_node_id", "parent_node_id", "real_node_id",
}  # fmt: skip
SAMPLING = ("progress", "binary")
SHAPE_ONLY = ("/system_stats", "/embeddings")


class Reducer:
    """One section's names for what differs from run to run, in the order of their appearance."""

    def __init__(self, entries: list[Entry]) -> None:
        self.ids: dict[str, str] = {}
        self.base: int | None = None
        self.numbers: dict[str, set[int]] = {}
        for name in re.findall(
            r'\\?"filename\\?": \\?"([^"\\]+)\\?"', json.dumps(entries, default=str, ensure_ascii=False)
        ):
            if numbered := NUMBERED.fullmatch(name):
                self.numbers.setdefault(numbered["stem"], set()).add(int(numbered["number"]))

    def id(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return self.ids.setdefault(value, f"<{chr(ord('A') + len(self.ids))}>")

    def file(self, name: str) -> str:
        """A numbered name without its number: what comes first, second, … of the section."""
        numbered = NUMBERED.fullmatch(name)
        if not numbered:
            return name
        stem, number = numbered["stem"], int(numbered["number"])
        if TEMPORARY.match(stem):
            return f"ComfyUI_temp_?_<{number}>{numbered['rest']}"
        return f"{stem}_<{sorted(self.numbers[stem]).index(number) + 1}>{numbered['rest']}"

    def number(self, value: Any) -> Any:
        """The queue number, counted from the first one of the section."""
        if not isinstance(value, int):
            return value
        if self.base is None:
            self.base = abs(value)
        return f"+{value - self.base}" if value >= 0 else f"-(+{-value - self.base})"

    # --- frames ---

    def frames(self, entries: Iterable[Entry]) -> list[Any]:
        """The frames of one socket. A sampler's steps are put together: what each sends, and how many were told."""
        result: list[Any] = []
        for entry in entries:
            if entry["kind"] == "binary":
                result.append(["binary", self.binary(entry)])
            elif entry["kind"] == "text":
                result.append([entry["msg"]["type"], self.data(entry["msg"]["type"], entry["msg"]["data"])])
        return nodes_together(together(result))

    def binary(self, entry: Entry) -> dict[str, Any]:
        fact: dict[str, Any] = {"event": entry["event"]}
        if "image" in entry:
            fact["image"] = entry["image"][:3]
        for key in ("node_id", "text", "format"):
            if key in entry:
                fact[key] = entry[key]
        if "metadata" in entry:
            metadata = dict(entry["metadata"])
            self.id(metadata["prompt_id"])
            same = metadata["node_id"] == metadata["display_node_id"] == metadata["real_node_id"]
            fact["metadata"] = {"keys": sorted(metadata), "same_node": same, "image_type": metadata["image_type"]}
        return fact

    def data(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        fact = dict(data)
        if "prompt_id" in fact:
            fact["prompt_id"] = self.id(fact["prompt_id"])
        if "timestamp" in fact:
            fact["timestamp"] = "<ms>"
        if "sid" in fact:
            fact["sid"] = "<client>"
        if kind == "progress_state":
            fact["nodes"] = {node: self.node_state(state) for node, state in fact["nodes"].items()}
        if "executed" in fact:
            fact["executed"] = sorted(fact["executed"])
        if "output" in fact:
            fact["output"] = self.output(fact["output"])
        if kind == "execution_error":
            fact["traceback"] = "<lines>"
            fact["current_inputs"] = sorted(fact["current_inputs"])
            fact["current_outputs"] = sorted(fact["current_outputs"])
            first_line = fact["exception_message"].splitlines(keepends=True)[0]
            fact["exception_message"] = PATHS.sub("'", first_line)
        return fact

    def node_state(self, state: dict[str, Any]) -> Any:
        ids = {state.get("node_id"), state.get("display_node_id"), state.get("real_node_id")}
        if state.keys() != PROGRESS_KEYS or len(ids) != 1 or state["parent_node_id"] is not None:
            return {**state, "prompt_id": self.id(state["prompt_id"])}
        return [state["value"], state["max"], state["state"]]

    def output(self, output: dict[str, Any]) -> dict[str, Any]:
        return {
            key: [self.output_file(item) if isinstance(item, dict) else item for item in items]
            for key, items in output.items()
        }

    def output_file(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "filename": self.file(item["filename"]), "subfolder": DATE.sub("<date>", item["subfolder"])}

    # --- HTTP ---

    def exchange(self, entry: Entry) -> dict[str, Any] | None:
        url = entry["url"]
        if LEFT_OUT.match(url) or entry.get("status") is None:
            return None
        path = UUID.sub(lambda found: self.id(found[0]), url)
        kind = entry.get("headers", {}).get("Content-Type", "").partition(";")[0]
        fact = {"method": entry["method"], "path": path, "status": entry["status"], "content_type": kind}
        params = entry.get("req", {}).get("params")
        if params:
            fact["params"] = {key: self.file(value) for key, value in params.items()}
        sent = entry.get("req", {}).get("headers", {})
        if {"Origin", "Host", "Sec-Fetch-Site"} & sent.keys():
            return None
        if "Range" in sent:
            fact["range"] = sent["Range"]
        body = entry.get("body")
        if isinstance(body, str) and body.startswith("<") and "bytes of JSON" in body[:30]:
            body = None  # the recording kept its beginning only
        if kind == "application/json" and body is not None:
            fact["body"] = self.body(path, body)
        elif kind == "text/plain":
            fact["body"] = body
        return fact

    def body(self, path: str, body: Any) -> Any:
        path = path.removeprefix("/api")
        if path.startswith("/history"):
            return {self.id(prompt_id): self.history_item(item) for prompt_id, item in body.items()}
        if path == "/queue":
            return {key: [self.queue_item(item) for item in items] for key, items in body.items()}
        if path.startswith("/jobs"):
            return self.job(body)
        if path.startswith("/object_info"):
            return {name: definition_facts(definition) for name, definition in body.items()}
        if path.startswith(SHAPE_ONLY):
            return shape(body)
        if path.startswith("/userdata") and isinstance(body, dict):
            return sorted(body)
        if isinstance(body, dict) and "prompt_id" in body:
            body = {**body, "prompt_id": self.id(body["prompt_id"]), "number": self.number(body["number"])}
        if isinstance(body, dict) and "node_errors" in body:
            body = {**body, "node_errors": {n: self.node_errors(e) for n, e in sorted(body["node_errors"].items())}}
        return body

    def node_errors(self, entry: dict[str, Any]) -> dict[str, Any]:
        errors = [{**error, "extra_info": self.extra_info(error["extra_info"])} for error in entry["errors"]]
        return {**entry, "errors": sorted(errors, key=lambda error: error["details"])}

    def extra_info(self, info: dict[str, Any]) -> dict[str, Any]:
        fact = dict(info)
        if "traceback" in fact:
            fact["traceback"] = "<lines>"
        if fact.get("input_config"):
            fact["input_config"] = without_prose(fact["input_config"])
        return fact

    def queue_item(self, item: list[Any]) -> list[Any]:
        extra = {key: "<ms>" if key == "create_time" else "<client>" if key == "client_id" else value
                 for key, value in item[3].items()}  # fmt: skip
        return [self.number(item[0]), self.id(item[1]), "<graph>", extra, sorted(item[4]), *item[5:]]

    def history_item(self, item: dict[str, Any]) -> dict[str, Any]:
        status = item["status"]
        return {
            **item,
            "prompt": self.queue_item(item["prompt"]),
            "outputs": {node: self.output(output) for node, output in sorted(item["outputs"].items())},
            "status": {**status, "messages": message_keys(status["messages"])},
            "meta": {
                node: meta if len({*meta.values()} - {None}) > 1 else sorted(meta)
                for node, meta in sorted(item["meta"].items())
            },
        }

    def job(self, body: Any) -> Any:
        if "jobs" in body:
            return {"jobs": [self.job(job) for job in body["jobs"]], "pagination": sorted(body["pagination"])}
        fact = dict(body)
        for key in fact:
            if key.endswith("_time"):
                fact[key] = "<ms>"
        if "id" in fact:
            fact["id"] = self.id(fact["id"])
            fact["priority"] = self.number(fact["priority"])
        if "preview_output" in fact:
            fact["preview_output"] = {
                **fact["preview_output"],
                "filename": self.file(fact["preview_output"]["filename"]),
            }
        if "outputs" in fact:
            fact["outputs"] = {node: self.output(output) for node, output in fact["outputs"].items()}
        if "execution_status" in fact:
            status = fact["execution_status"]
            fact["execution_status"] = {**status, "messages": message_keys(status["messages"])}
        if "workflow" in fact:
            fact["workflow"] = sorted(fact["workflow"])
        return fact


def definition_facts(definition: dict[str, Any]) -> dict[str, Any]:
    """A node definition's keys, and its inputs by section with their types."""
    inputs = {
        section: {name: spec if isinstance(spec, str) else type_name(spec[0]) for name, spec in specs.items()}
        for section, specs in definition["input"].items()
    }
    return {"keys": sorted(definition), "inputs": inputs, "output": definition["output"]}


def type_name(kind: Any) -> str:
    return kind if isinstance(kind, str) else "<choices>"


def message_keys(messages: list[list[Any]]) -> list[list[Any]]:
    """What the history keeps are the frames that were sent: their kinds and keys are enough."""
    return [[kind, sorted(data)] for kind, data in messages]


def together(frames: list[Any]) -> list[Any]:
    """Each unbroken run of a node's progress as one entry."""
    result: list[Any] = []
    index = 0
    while index < len(frames):
        run = index
        while run < len(frames) and is_sampling(frames, run):
            run += 1
        if run == index:
            result.append(frames[index])
            index += 1
            continue
        result.append(["sampling", summary(frames[index:run])])
        index = run
    return result


def is_sampling(frames: list[Any], index: int) -> bool:
    kind, data = frames[index]
    if kind == "progress" or (kind == "binary" and data["event"] != 3):
        return True
    if kind != "progress_state":
        return False
    # The running node's state with a step count: the `progress` of the same step follows at once.
    return any(s[2] == "running" and not isinstance(s[0], float) for s in data["nodes"].values() if isinstance(s, list))


def summary(frames: list[Any]) -> dict[str, Any]:
    told = [data for kind, data in frames if kind == "progress"]
    values = [data["value"] for data in told]
    binary = next((data for kind, data in frames if kind == "binary"), None)
    first = frames[0]
    last_step: list[str] = []
    for kind, _ in frames:
        if kind == "progress_state" and len(last_step) > 1:
            break
        last_step.append(kind)
    node = told[0]["node"] if told else next(reversed(first[1]["nodes"]))
    return {
        "node": node,
        "max": told[0]["max"] if told else None,
        "prompt_id": told[0]["prompt_id"] if told else None,
        "each": last_step,
        "keys": sorted(told[0]) if told else [],
        "image": binary,
        "every": values == list(range(values[0], values[0] + len(values))) if values else False,
        "first": values[0] if values else None,
        "last": values[-1] if values else None,
    }


def nodes_together(frames: list[Any]) -> list[Any]:
    """A node's beginning and end as one entry each, or both as one, where they are exactly as for every node."""
    result: list[Any] = []
    before: dict[str, Any] = {}
    index = 0
    while index < len(frames):
        kind, data = frames[index]
        if kind == "execution_start":
            before = {}
        following = frames[index + 1] if index + 1 < len(frames) else ["", {}]
        node = next(reversed(data["nodes"]), "") if kind == "progress_state" else ""
        begun = kind == "progress_state" and data["nodes"] == {**before, node: [0.0, 1.0, "running"]}
        told = {"node": node, "display_node": node, "prompt_id": data.get("prompt_id")}
        if begun and following == ["executing", told]:
            result.append(["begins", node, data["prompt_id"]])
            before = data["nodes"]
            index += 2
            continue
        state = data["nodes"].get(node, []) if kind == "progress_state" else []
        if node in before and state[2:] == ["finished"] and data["nodes"] == {**before, node: state}:
            before = data["nodes"]
            end = ["ends", node, *state[:2], data["prompt_id"]]
            if end == ["ends", node, 1.0, 1.0, data["prompt_id"]] and result[-1] == ["begins", node, data["prompt_id"]]:
                result[-1][0] = "runs"
            else:
                result.append(end)
        else:
            before = data["nodes"] if kind == "progress_state" else before
            result.append(frames[index])
        index += 1
    return result


def shape(value: Any) -> Any:
    """The keys, and for everything else its type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def without_prose(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: without_prose(value) for key, value in config.items() if key not in ("tooltip", "display_name")}
    return [without_prose(item) for item in config] if isinstance(config, list) else config


def sections(entries: list[Entry], split: bool = False, frames: bool = True) -> list[dict[str, Any]]:
    parts: list[tuple[str, list[Entry]]] = [("", [])]
    for entry in entries:
        if entry["src"] == "note":
            if split:
                parts.append((entry.get("note", "")[:60], []))
        else:
            parts[-1][1].append(entry)
    result = []
    for name, part in parts:
        reducer = Reducer(part)
        sockets: dict[str, list[Entry]] = {}
        for entry in part:
            if frames and entry["src"].startswith("ws:"):
                sockets.setdefault(entry["src"][3:], []).append(entry)
        exchanges: list[dict[str, Any]] = []
        for entry in part:
            fact = reducer.exchange(entry) if entry["src"] == "http" else None
            if fact is not None and fact not in exchanges[-1:]:  # polled until it changed
                exchanges.append(fact)
        told = {socket: facts for socket, received in sockets.items() if (facts := reducer.frames(received))}
        if told or exchanges:
            result.append({"case": name, "sockets": told, "http": exchanges})
    return result


def main(recordings: Path, release: str) -> None:
    target = RECORDED / release
    target.mkdir(exist_ok=True)
    for path in sorted(recordings.glob("*.jsonl")):
        name = path.stem.partition("_")[0]
        if name in SCENARIOS.split():
            entries = [json.loads(line) for line in path.read_text().splitlines()]
            facts = sections(entries, name in SECTIONED, name not in WITHOUT_FRAMES)
            lines = ",\n".join(json.dumps(section, ensure_ascii=False) for section in facts)
            (target / f"{name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""The digests of prompts with which conversions are compared tell any change, and nothing but a change."""

import copy
import json

from tests.support.conversion import converted, definitions, digest


def test_a_digest_notices_any_change_and_no_renaming() -> None:
    known = definitions("0.3.64")
    graph = converted("0.3.64", "image2image")
    right = digest(graph, known)
    text = json.dumps(graph)
    for node_id in graph:
        text = text.replace(f'"{node_id}"', f'"n{node_id}"')
    assert digest(json.loads(text), known) == right
    for node_id, node in graph.items():
        for key in node["inputs"]:
            changed = copy.deepcopy(graph)
            changed[node_id]["inputs"][key] = "something else"
            assert digest(changed, known) != right, (node_id, key)

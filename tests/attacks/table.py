"""What the rows of the table have in common."""

import json
from collections.abc import Iterator
from typing import Any

import pytest


def told(answer: Any) -> str:
    """All that a model is told, as one text."""
    return json.dumps(answer, ensure_ascii=False, default=str)


def each(rows: dict[str, Any]) -> Iterator[Any]:
    """Rows of a table by their names."""
    for name, row in rows.items():
        yield pytest.param(row, id=name)

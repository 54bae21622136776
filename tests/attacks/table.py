"""What the rows of the table have in common."""

import json
from typing import Any

import pytest


def told(answer: Any) -> str:
    """All that a model is told, as one text."""
    return json.dumps(answer, ensure_ascii=False, default=str)


def each(rows: dict[str, Any]) -> list[Any]:
    """Rows of a table by their names."""
    return [pytest.param(row, id=name) for name, row in rows.items()]

"""How many tokens a model reads, in OpenAI's vocabulary cl100k, by which all of them are measured here.

Its table of 1.7 MB is not part of any package that the tests need. Where TIKTOKEN_CACHE_DIR leads to it the count is
exact; elsewhere it is estimated from the characters: English JSON has 4.05 of them in a token, and an id, which is
made of random digits, 36 in 22 tokens or more.
"""

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import comfyui_tool as tool

TABLE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"  # what tiktoken calls the table in its folder
CHARACTERS = 4.05
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TOKENS_OF_ID = 24


def tokens(result: Any) -> int:
    """How many tokens a result has as Open WebUI passes it on, or a text."""
    text = result
    if not isinstance(result, str):
        text = tool.as_answer(result)
    if not isinstance(text, str):
        text = json.dumps(text, indent=2, ensure_ascii=False)
    if _has_table():
        import tiktoken

        return len(tiktoken.get_encoding("cl100k_base").encode(text, disallowed_special=()))
    ids = len(ID.findall(text))
    return round(TOKENS_OF_ID * ids + (len(text) - 36 * ids) / CHARACTERS)


@functools.cache
def _has_table() -> bool:
    return (Path(os.environ.get("TIKTOKEN_CACHE_DIR", "/nowhere")) / TABLE).is_file()

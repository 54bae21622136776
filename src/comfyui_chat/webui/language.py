"""Which language a user reads: that of Open WebUI's page.

The page keeps it in the browser, and sends it with every message among the variables of a prompt,
as "de-DE" in `{{USER_LANGUAGE}}`. A call without a page, as by the API, has none: then what the
request accepts counts, and English where it says nothing.
"""

from collections.abc import Mapping
from typing import Any

from ..phrases import known_language
from ..values import object_of

LANGUAGE_VARIABLE = "{{USER_LANGUAGE}}"
MOST_LOCALE_CHARACTERS = 100  # of what may say a language, which anybody may send


def language_of(metadata: Mapping[str, Any], request: Any) -> str:
    """The language of a call, by Open WebUI's `__metadata__` and `__request__`: one of
    `LANGUAGES`.
    """
    told = object_of(metadata.get("variables")).get(LANGUAGE_VARIABLE)
    if not told:
        headers = getattr(request, "headers", None)
        told = headers.get("accept-language") if isinstance(headers, Mapping) else ""
    first = str(told or "")[:MOST_LOCALE_CHARACTERS].split(",")[0]
    return known_language(first.split(";")[0])

"""What a chat says where no ComfyUI is set and none is found: three lines, for whoever asks.

An administrator reads which addresses were tried, and which valve to set; a user whom to ask, and
for what. The model is told the same three lines, and a small page below the message shows them,
since a status has room for one line, and a model may say anything. The next page of buttons takes
the place of it (webui/buttons.py).
"""

import html
from collections.abc import Sequence

from ..errors import ServerUnreachable
from ..logs import log
from ..phrases import Phrase, in_language
from ..server.endpoint import Endpoint
from .buttons import BUTTONS_MARK, TELL_HEIGHT
from .chat import Chat


def first_steps(is_admin: bool, tried: Sequence[Endpoint]) -> tuple[str, str, str]:
    """What to do, in three lines, which are phrases."""
    if is_admin:
        where = Phrase("where_valves_are")
        addresses = ", ".join(endpoint.url for endpoint in tried)
        return (
            Phrase("first_tried", addresses=addresses),
            Phrase("first_start"),
            Phrase("first_address", where=where),
        )
    return Phrase("first_none"), Phrase("first_ask"), Phrase("first_they")


async def tell_first_steps(chat: Chat, tried: Sequence[Endpoint], error: ServerUnreachable) -> None:
    """Show the three lines below the message, and put them into the error."""
    lines = first_steps(chat.is_admin, tried)
    error.hint = " ".join([*lines[1:], "Say so to the user."])
    if not chat.is_admin:
        error.message = lines[0]
    try:
        said = [in_language(line, chat.language) for line in lines]
        await chat.show_page(first_steps_page(said, chat.language))
    except Exception as failure:  # the model is told the same
        log.warning("what to do could not be shown: %s", type(failure).__name__)


def first_steps_page(lines: Sequence[str], language: str) -> str:
    """The page that shows the lines, which are in this language."""
    rows = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    page = FIRST_STEPS_PAGE.replace("{mark}", BUTTONS_MARK).replace("{height}", TELL_HEIGHT)
    return page.replace("{lang}", language).replace("{rows}", rows)


# The frame is not told whether Open WebUI is dark or light, so the lines have a ground of their
# own.
FIRST_STEPS_PAGE = """<!doctype html>
<html lang="{lang}" data-by="{mark}">
<meta charset="utf-8">
<style>
  body { margin: 0; padding: 8px 12px; border-radius: 10px; background: #fff7e0; color: #1c1c1c;
         font: 14px/1.5 system-ui, sans-serif; }
  p { margin: 0; overflow-wrap: anywhere; }
</style>
{rows}
<script>
{height}</script>
</html>
"""

"""Whether somebody asked for a transparent background, and whether they got it.

Most models make opaque pictures, whatever the prompt says, and some paint a chequered background.
So `opaque_note` says that a picture is opaque whose prompt asks for transparency. It understands
English, German, French, Spanish, Portuguese, Italian, Japanese, Korean, Chinese and Russian.
"""

import re
from collections.abc import Sequence

from ..media.kinds import OutputFile
from ..media.pictures import is_opaque
from ..threads import PICTURES

_BACKGROUND = (
    r"(?:background|backdrop|\bbg\b|hintergrund|fond|arrière-plan|fondo|fundo|sfondo|背景|배경|фон)"
)
_TRANSPARENT = r"(?:transparen|see-through|透明|透過|투명|прозрачн)"
_WITHOUT = r"(?:without|no|remove|delete|erase|cut out|ohne|entfern|sans|sin|sem|senza)"
SEARCHED = 20_000  # characters of a prompt
NEAR = r"[^.;!?。]{0,40}"
ASKS = re.compile(
    rf"{_TRANSPARENT}{NEAR}{_BACKGROUND}"
    rf"|{_BACKGROUND}{NEAR}{_TRANSPARENT}"
    rf"|\b{_WITHOUT}\w{{0,20}}\b[^.,;!?]{{0,12}}\b{_BACKGROUND}"
    rf"|\b{_BACKGROUND}\W{{1,10}}(?:removal|remover|removed|entfernen)"
    rf"|{_TRANSPARENT}\w{{0,20}}\W{{1,10}}(?:png|webp|sticker)|\balpha channel|\bfreigestellt",
    re.IGNORECASE,
)


def asks_for_transparency(prompt: str) -> bool:
    """Whether a prompt asks for a picture without a background. A glass vase may be transparent
    without that.
    """
    words = prompt[:SEARCHED].replace("_", " ")
    return bool(ASKS.search(words))


async def opaque_note(prompt: str, products: Sequence[OutputFile]) -> tuple[str, ...]:
    """A note, or none: the prompt asks for a transparent background, and the first picture is
    opaque.
    """
    pictures = [product.data.buffer for product in products if product.size]
    if not pictures or not asks_for_transparency(prompt):
        return ()
    if not await PICTURES.run(is_opaque, pictures[0]):
        return ()
    return (
        "the picture is opaque: this model did not make a transparent background; tell the user",
    )

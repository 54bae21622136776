"""A page of a chat in which somebody paints, or does not, as the tool asks it by `__event_call__`."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageDraw


def mask_uri(size: tuple[int, int] = (512, 384), box: tuple[int, int, int, int] | None = (32, 32, 240, 240)) -> str:
    """A mask as the editor sends it: white on black, a PNG in a data URI."""
    mask = Image.new("RGB", size)
    if box:
        ImageDraw.Draw(mask).rectangle(box, fill="white")
    stream = io.BytesIO()
    mask.save(stream, "PNG")
    return uri(stream.getvalue())


def uri(data: bytes, kind: str = "image/png") -> str:
    """A file as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


class PaintingPage:
    """Opens a dialog, and after some questions tells what `answers` says: a state of the dialog, anything else, or an
    exception to raise."""

    def __init__(self, *answers: Any, after: int = 2, opens: Any = "open") -> None:
        self.scripts: list[str] = []
        self._answers = list(answers)
        self._after = after
        self._opens = opens
        self._asked = 0

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What the dialogs were opened with."""
        starts = [script.rpartition("return start(")[2] for script in self.scripts if "return start(" in script]
        return [json.loads(start.removesuffix(");")) for start in starts]

    async def __call__(self, event: dict[str, Any]) -> Any:
        assert event["type"] == "execute"
        script = event["data"]["code"]
        self.scripts.append(script)
        if "return start(" in script:
            self._asked = 0
            return self._opens
        self._asked += 1
        if self._asked < self._after:
            return {"state": "open"}
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return await answer() if isinstance(answer, Callable) else answer  # type: ignore[arg-type]


def painted(mask: Any = None) -> dict[str, Any]:
    """What the page tells when the user is done."""
    return {"state": "done", "answer": mask or mask_uri()}

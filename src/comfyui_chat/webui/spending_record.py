"""What each user has spent today of the administrator's credits: a record in Open WebUI's own
database.

It has to be one for all workers and machines, to outlive restarts, and to be out of reach of the
users. So each user's is a row of the table `file`, which Open WebUI 0.9.6 to 0.12.4 have alike, and
which needs no change of its code:

- The row belongs to nobody (`user_id` is ""), so no route lists it, shows it or deletes it for
  anybody but administrators. Its id is a digest with Open WebUI's own secret, which nobody can
  guess to put it into a knowledge base or a chat of theirs.
- Two workers cannot both add to it what only one may: each writes on the condition that the row is
  still the one that it has read (its `hash` is another after every change), and else reads again.
  The database settles who is first.

Other places would not do. The valves of a tool and `Config` are read and written as a whole,
without such a condition, and 0.9.6 has its settings in another form; files in the data folder are
shared by the workers of one machine only; what users own, such as their settings, memories and
feedback, they can change.

    id "0f6c...", user_id "", filename "comfyui-credits.json", hash "b81e...",
    data {"day": "2026-11-26", "dollars": 1.25}

A day is one of UTC. Where the record cannot be read or written, nothing is spent.
"""

import asyncio
import hmac
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from ..errors import CreditsRefused
from ..logs import log
from ..tasks import ANSWER_SECONDS, finish
from ..values import as_number, object_of

MOST_TRIES = 40  # to change the row, while others change it
MOST_PAUSE = 0.05  # seconds between two tries
CENT = 0.01
FILE_NAME = "comfyui-credits.json"


class StoredSpending:
    """What one user has spent today."""

    def __init__(self, user_id: str, secret: bytes) -> None:
        """`secret` is Open WebUI's own."""
        self._id = hmac.digest(
            secret, f"comfyui_tool: credits of {user_id}".encode(), "sha256"
        ).hex()

    async def reserve(self, dollars: float, most: float) -> float | None:
        """Add an amount to what was spent today, unless it would be more than `most`. Returns what
        is left after that, and None where it was not added. Raises `CreditsRefused` where the
        record cannot be kept.
        """

        def add(spent: float) -> float | None:
            total = spent + dollars
            return total if total <= most + CENT / 1000 else None

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                total = await self._change(add)
        except Exception as error:  # whatever another release, or the database, has in its place
            log.warning("what was spent cannot be recorded: %s", type(error).__name__)
            raise CreditsRefused(
                "Open WebUI's database does not take the record of what was spent today, so nothing is spent.",
                "The administrator finds the reason in the log.",
            ) from None
        return None if total is None else most - total

    async def give_back(self, dollars: float) -> None:
        """Take an amount off again. Never raises."""
        await finish(self._change(lambda spent: max(spent - dollars, 0.0)), ANSWER_SECONDS)

    async def _change(self, change: Callable[[float], float | None]) -> float | None:
        """Write what `change` makes of the amount of today. Returns it, and None where `change`
        gives none.
        """
        for _ in range(MOST_TRIES):
            stamp, spent = await self._read()
            total = change(spent)
            if total is None:
                return None
            if await self._write(stamp, total):
                return total
            await asyncio.sleep(random.uniform(0, MOST_PAUSE))  # nosec B311 # so that not all try at once
        raise TimeoutError

    async def _read(self) -> tuple[str | None, float]:
        """The stamp of the row, None where there is none yet, and what was spent today."""
        from open_webui.internal.db import get_async_db_context
        from open_webui.models.files import File

        table = File.__table__
        async with get_async_db_context() as session:
            row = (await session.execute(table.select().where(table.c.id == self._id))).first()
        if row is None:
            return None, 0.0
        data = object_of(row.data)
        spent = (as_number(data.get("dollars")) or 0.0) if data.get("day") == _today() else 0.0
        return str(row.hash), spent

    async def _write(self, stamp: str | None, dollars: float) -> bool:
        """Write the row, if it still has this stamp, or if there still is none. Returns whether it
        was written.
        """
        from open_webui.internal.db import get_async_db_context
        from open_webui.models.files import File

        table = File.__table__
        now = int(time.time())
        data = {"day": _today(), "dollars": round(dollars, 6)}
        values: dict[str, Any] = {"hash": uuid.uuid4().hex, "data": data, "updated_at": now}
        if stamp is None:
            about = {"name": FILE_NAME, "content_type": "application/json", "size": 0}
            values |= {
                "id": self._id,
                "user_id": "",
                "filename": FILE_NAME,
                "path": "",
                "meta": about,
            }
            statement = table.insert().values(**values, created_at=now)
        else:
            statement = (
                table.update().where(table.c.id == self._id, table.c.hash == stamp).values(**values)
            )
        try:
            async with get_async_db_context() as session:
                written = await session.execute(statement)
                await session.commit()
        except (
            Exception
        ) as error:  # somebody else made the row first, or the database is locked for the moment
            log.debug("the record of what was spent: %s", type(error).__name__)
            return False
        # the driver for PostgreSQL counts no rows that are inserted; one that was there before is an
        # error
        return stamp is None or bool(written.rowcount == 1)


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())

"""How long a video or a sound is to be, as people and models write it: "5 seconds", "1:30", "eine
Minute", "1分30秒".

read_seconds("1 min 30 s") == 90     read_seconds("5") == 5     read_seconds("120 frames") is None
"""

import re
from typing import Any

from .bounds import MOST_WORD_CHARACTERS
from .spelling import NUMBER_WORDS, plain_words
from .values import as_number, unwrapped

# How many seconds each unit has, by its names.
_UNITS = {
    0.001: "ms millisecond milliseconds",
    1.0: (
        "s sec secs second seconds sek sekunde sekunden seg segundo segundos seconde secondes secondo secondi "
        "秒 秒間 秒钟 초"
    ),
    60.0: "m min mins minute minutes minuten minuto minutos minuti 分 分間 分钟 分鐘 분",
    3600.0: "h hr hrs hour hours stunde stunden hora horas heure heures ora ore 時間 小时 小時 시간",
}
UNITS = {name: seconds for seconds, names in _UNITS.items() for name in names.split()}
HALF = ("half", "halbe", "halb", "media", "demi", "mezzo", "meia", "半")
JOINED = ("and", "und", "et", "y", "e", "ed")
_AROUND = "a an long lang of de about in for the video clip song music sound audio"
AROUND = frozenset(_AROUND.split())
TIME_PART = re.compile(r"\d{1,7}(?:\.\d{1,6}|,\d{1,2}(?!\d))?|[^\W\d_]+|[^\s,;.~≈-]")
CLOCK = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{2}(?:\.\d{1,3})?)")


def read_seconds(value: Any) -> float | None:
    """How many seconds a value means, or None: a number, a time such as "1:30", or numbers with
    their units, also in words of nine languages.
    """
    value = unwrapped(value)
    number = as_number(value)
    if number is not None or not isinstance(value, str) or len(value) > MOST_WORD_CHARACTERS:
        return number
    text = plain_words(value)
    clock = CLOCK.fullmatch(text)
    if clock:
        return 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3])
    return _with_units(TIME_PART.findall(text))


def says_seconds(value: Any) -> bool:
    """Whether a value is a time with a unit, and not a mere number."""
    return as_number(value) is None and read_seconds(value) is not None


def _with_units(parts: list[str]) -> float | None:
    """The sum of numbers, each with the unit behind it; one without is in seconds. None where
    anything else is said.
    """
    total = 0.0
    amount: float | None = None  # that has no unit yet
    has_unit = joined = False
    for part in parts:
        number = _amount_in(part)
        if number is not None:
            amount = _together(amount, number, part in HALF, joined)
            if amount is None:
                return None
        elif part in UNITS:
            total += UNITS[part] * (1.0 if amount is None else amount)
            amount, has_unit = None, True
        elif part not in AROUND and part not in JOINED:
            return None
        joined = part in JOINED or (joined and number is None)
    if amount is None:
        return total if has_unit else None
    if has_unit and not amount.is_integer():  # "a minute and a half"
        return None
    return total + amount


def _together(amount: float | None, number: float, is_half: bool, joined: bool) -> float | None:
    """The amount that a number makes with the one before it, as in "one and a half" and "eine
    halbe"; None where the two do not belong together.
    """
    if amount is None:
        return number
    if not is_half:
        return None
    return amount + number if joined else amount * number


def _amount_in(part: str) -> float | None:
    """The number that one word is: "5", "1.5", "one", "half"."""
    if part in HALF:
        return 0.5
    if part in NUMBER_WORDS:
        return float(NUMBER_WORDS[part])
    number = as_number(part.replace(",", "."))
    return None if number is None else float(number)

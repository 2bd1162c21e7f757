"""What a cell of a table holds, and rows in words."""

import decimal
import math
import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_SURROGATE = re.compile("[\ud800-\udfff]")
COUNTED = "Rows are counted from 1, without header and blank lines."
SHOWN = 5  # things of one kind that a sentence names


def number(value) -> float | None:
    """The finite number that a value is, or that its text says; None for anything else, bools among them."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value := value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of more than 308 digits
        return None


def decimal_commas(values: Sequence) -> list | None:
    """The values with numbers for texts such as `3,5`, where all are numbers and some have a decimal comma; else None.

    Not where every comma may stand between thousands.
    """
    present = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    commas = [text for text in present if _COMMA.fullmatch(text)]
    if not commas or all(_THOUSANDS.fullmatch(text) for text in commas):
        return None
    if any(number(text) is None and not _COMMA.fullmatch(text) for text in present):
        return None
    read = [value.strip().replace(",", ".") if isinstance(value, str) else value for value in values]
    return [float(value) if isinstance(value, str) and value else value for value in read]


def missing(value) -> bool:
    """Whether there is nothing: no value, or a blank text."""
    return value is None or (isinstance(value, str) and not value.strip())


def is_simple(value) -> bool:
    """Whether a value is a text of whole characters, a number or a bool."""
    if isinstance(value, str):  # half of a surrogate pair, as broken JSON has it, cannot be encoded
        return value.isascii() or not _SURROGATE.search(value)
    return isinstance(value, (bool, int, float))


def rows_in_words(numbers: Sequence[int]) -> str:
    """`row 3`, `rows 3, 7 and 12`, `rows 3, 7, 12, 19, 20 and 71 more`"""
    first = [f"{n:,}" for n in numbers[:5]]
    if len(numbers) == 1:
        return f"row {first[0]}"
    rest = len(numbers) - len(first)
    last = f"{rest:,} more" if rest else first.pop()
    return f"rows {', '.join(first)} and {last}"


def some(names: Sequence[object], form=repr) -> str:
    """The first of the names, and how many there are beyond."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(form(name) for name in names[:SHOWN]) + more


def plain(value):
    """The value as plain Python: None for NaN, NA and NaT, what is neither text nor number as it is."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, decimal.Decimal):
        return plain(float(value))
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return plain(value.item()) if type(value).__module__ == "numpy" and not getattr(value, "shape", ()) else value

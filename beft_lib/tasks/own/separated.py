"""Text that is separated by commas, semicolons, tabs or bars: which of them, quoted or not, found from the whole file.

No reading is taken that loses a row: a file is read in one way that gives every row as many fields as the header has,
and where two ways do, the one that keeps the lines apart. What was assumed is said.
"""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from beft_lib.errors import UserError

LONGEST_FIELD = 2**31 - 1  # in characters
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)"}
ENCODINGS = {  # by the mark at a file's beginning; the longer ones first
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


class Read(NamedTuple):
    """A file's columns, every cell a text; and in sentences what was assumed of its form."""

    columns: dict[str, list[str]]
    said: tuple[str, ...]
    delimiter: str
    lines: Sequence[int] = ()  # on which each row begins


class _Row(NamedTuple):
    fields: list[str]
    line: int  # on which it begins, from 1
    lines: Sequence[str]  # that it spans


def decoded(content: bytes, path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or -32 with a mark at its beginning."""
    encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: byte {content[error.start]:#04x} is not {encoding.removesuffix('-sig').upper()}; "
            'save the file as UTF-8 (a spreadsheet calls it "CSV UTF-8")'
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path} line {line}: a NUL character, as in UTF-16 without a mark; save the file as UTF-8")
    return text


def read(text: str, path: Path, kind: str) -> Read:
    """The columns of a file of the kind ".csv" or ".tsv"; `UserError` for one that no way of reading fits.

    `NA`, `null` and `None` are what they are written as.
    """
    said, offset = [], 0
    first, _, rest = text.partition("\n")
    stated = first.strip("\r\ufeff").lower()
    if stated.startswith("sep=") and len(stated) == 5:  # a spreadsheet's own line
        delimiter, text, offset = stated[4], rest, 1
        said.append(f"{path}: its first line says that {NAMES.get(delimiter, repr(delimiter))} separate the fields.")
    else:
        delimiter = _delimiter(text, path, kind)
        if delimiter != {".csv": ",", ".tsv": "\t"}[kind] and not (kind == ".csv" and delimiter == ";"):
            said.append(f"{path}: {NAMES[delimiter]} separate its fields.")
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        rows, plain = _rows(text, path, delimiter, offset)
    finally:
        csv.field_size_limit(before)
    if plain:
        said.append(f"{path}: read without quoting, its quotes being part of the texts: a line is a row.")
    if not rows:
        return Read({}, tuple(said), delimiter)
    names = [name.strip() or f"Unnamed: {place}" for place, name in enumerate(rows[0].fields)]
    check_distinct(names, str(path))
    columns = {name: [row.fields[place] for row in rows[1:]] for place, name in enumerate(names)}
    _check_header(names, columns, path, rows[0].line)
    _check_swallowed(rows, columns, path, delimiter)
    return Read(columns, tuple(said), delimiter, [row.line for row in rows[1:]])


def check_distinct(names: Sequence[str], what: str) -> None:
    """Raise `UserError` for columns of one name."""
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{what} has {repeated[0]!r} as the name of several columns; give each column its own name")


def _delimiter(text: str, path: Path, kind: str) -> str:
    """What separates the fields: of what the header holds, the one under which all rows have as many fields."""
    first = text.lstrip("\r\n").partition("\n")[0]
    usual = {".csv": ",", ".tsv": "\t"}[kind]
    found = [delimiter for delimiter in NAMES if delimiter in first]
    if kind == ".tsv" and "\t" in found or len(found) < 2:
        return usual if kind == ".tsv" and "\t" in found else (found or [usual])[0]
    fit = [delimiter for delimiter in found if _fits(text, delimiter)]
    if usual in fit or not fit:
        return usual if usual in found else found[0]
    if len(fit) > 1:
        raise UserError(
            f"{path}: its fields may be separated by {' or by '.join(NAMES[d] for d in fit)}; write it with commas, "
            "and texts in double quotes"
        )
    return fit[0]


def _fits(text: str, delimiter: str) -> bool:
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        widths = {len(row.fields) for row in _quoted(text, delimiter, 0)}
    except csv.Error:
        widths = {len(row.fields) for row in _unquoted(text, delimiter, 0)}
    finally:
        csv.field_size_limit(before)
    return len(widths) == 1 and widths != {1}


def _rows(text: str, path: Path, delimiter: str, offset: int) -> tuple[list[_Row], bool]:
    """The rows, and whether quotes were taken for characters like others: only where tabs separate the fields."""
    plain = _unquoted(text, delimiter, offset) if delimiter == "\t" and '"' in text else []
    whole = bool(plain) and all(len(row.fields) == len(plain[0].fields) for row in plain)
    try:
        rows = _quoted(text, delimiter, offset)
        _check_widths(rows, path)
    except (csv.Error, UserError) as error:
        if whole:
            return plain, True
        if isinstance(error, UserError):
            raise
        reason, line, *_ = (*error.args, 1)
        raise UserError(
            f"{path} line {line}: the row that begins here cannot be read ({reason}); write a text with quotes "
            "in double quotes, and double the quotes inside it"
        ) from None
    if whole and len(plain) > len(rows):  # a quoted cell would hold whole rows
        return plain, True
    return rows, False


def _quoted(text: str, delimiter: str, offset: int) -> list[_Row]:
    """The rows as RFC 4180 has them; a `csv.Error` carries the line on which the row begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, begins, lines = [], 0, _lines(text)
    try:
        for fields in reader:
            if fields:
                rows.append(_Row(fields, begins + 1 + offset, lines[begins : reader.line_num]))
            begins = reader.line_num
    except csv.Error as error:
        raise csv.Error(str(error), begins + 1 + offset) from None
    return rows


def _unquoted(text: str, delimiter: str, offset: int) -> list[_Row]:
    """A row a line, quotes being characters like others."""
    lines = enumerate(_lines(text), start=1 + offset)
    return [_Row(line.split(delimiter), at, [line]) for at, line in lines if line]


def _lines(text: str) -> list[str]:
    """As the csv module counts them."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _check_widths(rows: Sequence[_Row], path: Path) -> None:
    for row in rows:
        if len(row.fields) != len(rows[0].fields):
            raise UserError(
                f"{path} line {row.line}: {len(row.fields)} fields where the header has {len(rows[0].fields)}; write a "
                "text with separators or line breaks in double quotes, and double the quotes inside it"
            )


def _check_header(names: Sequence[str], columns: Mapping[str, list[str]], path: Path, line: int) -> None:
    """Raise `UserError` where the first line looks like a row: a value of its column, or a number above numbers."""
    if [name for name in names if not name.startswith("Unnamed: ")] == [
        str(place) for place in range(sum(not name.startswith("Unnamed: ") for name in names))
    ]:
        return  # a frame's columns that were not named
    for name, values in columns.items():
        counts = Counter(value.strip() for value in values)
        repeated = counts.pop(name, 0) and 2 * len(counts) <= len(values)
        if repeated or (_is_number(name) and values and all(map(_is_number, values))):
            example = ",".join("label" if other == name else "text" for other in names[:2])
            raise UserError(
                f"{path} line {line}: the first line looks like a row and not like a header: its {name!r} is like the "
                f"values below it; put a line with the names of the columns first, such as {example}"
            )


def _is_number(text: str) -> bool:
    text = text.strip().lstrip("+-").replace(",", ".", 1)
    return bool(text) and text.replace(".", "", 1).isdecimal()


def _check_swallowed(rows: Sequence[_Row], columns: Mapping[str, list[str]], path: Path, delimiter: str) -> None:
    """Raise `UserError` for a row over several lines, each of which looks like a row: a quote that was left open."""
    single = [row.fields for row in rows[1:] if len(row.lines) == 1]
    classes: list[set[str]] = []
    for place in range(len(columns)):
        values = {fields[place] for fields in single}
        classes.append(values if 2 * len(values) <= len(single) else set())
    for row in rows[1:]:
        parts = [line.split(delimiter) for line in row.lines if line]
        if len(parts) < 2 or any(len(part) != len(columns) for part in parts):
            continue
        if any(own and all(part[place].strip('"') in own for part in parts) for place, own in enumerate(classes)):
            raise UserError(
                f"{path} line {row.line}: a quoted cell that holds {len(parts)} lines, each of which looks like a row; "
                "close the quote, or double quotes that belong to a text and put the text in quotes"
            )

"""Files, data sets of the Hub and objects in memory, read into one form: columns of plain values."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beft_lib.errors import UserError

from ..sources.local import read_bytes
from . import hub
from .values import plain

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")  # all but the last may be compressed: .jsonl.gz
LONGEST_FIELD = 2**31 - 1  # of a CSV, in characters
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """One data set as its user knows it. Row i of a column is the user's row i + 1, without the header.

    `name`: what messages call it, a file, `hub:ORG/NAME:SPLIT` or the argument it was given as. `stem`: what a task
    made of it is called. `columns`: the values of each column, None where one is missing; class ids of
    `datasets.ClassLabel` are replaced by their names, whose order `classes` keeps. `others`: the data set's other
    splits on the Hub. `lines`: the line of its file on which each row begins, for files of lines.
    """

    name: str
    stem: str
    columns: Mapping[str, list]
    classes: Mapping[str, tuple[str, ...]]
    others: tuple[str, ...] = ()
    lines: Sequence[int] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def read(data, role: str) -> Table:
    """The data set given as the argument `role`, "train" or "evaluate"; `UserError` where it cannot be read."""
    if isinstance(data, str) and data.startswith("hub:"):
        loaded, name, others = hub.load(data, role)
        table = _of_dataset(loaded, name, hub.stem(data), others)
    elif isinstance(data, (str, Path)):
        table = _of_file(Path(data).expanduser())
    else:
        table = _in_memory(data, role)
    if not table.columns or not len(table):
        raise UserError(f"{table.name} has no rows; it must hold a text and a label in each row")
    return table


# ---------------------------------------------------------------------------------------------------------- files


def _of_file(path: Path) -> Table:
    suffix = _suffix(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        near = sorted(p.name for p in path.parent.iterdir() if _known(p)) if path.parent.is_dir() else []
        have = f"; in {path.parent} there are {', '.join(near[:10])}" if near else ""
        raise UserError(f"data file {path} {what}{have}. Name a file ({', '.join(FORMATS)}), or hub:ORG/NAME")
    content, stem, classes, lines = read_bytes(path), path.name[: -len(suffix)], {}, []
    kind = suffix.removesuffix(".gz")
    if kind == ".parquet":
        columns, classes = _parquet(content, path)
    elif kind in (".csv", ".tsv"):
        columns, lines = _separated(_decoded(content, path), path, kind)
    elif kind == ".jsonl":
        records, lines = _json_lines(content, path)
        columns = _of_records(records, str(path))
    else:
        columns = _of_records(_json(content, path), str(path))
    columns = {name: [plain(value) for value in own] for name, own in columns.items()}
    return Table(name=str(path), stem=stem, columns=columns, classes=classes, lines=lines)


def _known(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(FORMATS)


def _suffix(path: Path) -> str:
    """`.jsonl.gz` of `reviews.jsonl.gz`"""
    name = path.name.lower()
    plain = name.removesuffix(".gz")
    for suffix in FORMATS:
        if plain.endswith(suffix) and not (suffix == ".parquet" and plain != name):
            return path.name[len(plain) - len(suffix) :]
    raise UserError(
        f"data file {path} has a format that is not read; valid: {', '.join(FORMATS)} (and {FORMATS[2]}.gz). Save it "
        "as one of them, or name a data set of the Hub as hub:ORG/NAME"
    )


def _decoded(content: bytes, path: Path) -> str:
    content = content.removeprefix(_BOM)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as UTF-8 (a spreadsheet "
            'calls it "CSV UTF-8")'
        ) from None


def _separated(text: str, path: Path, kind: str) -> tuple[dict[str, list], list[int]]:
    """The columns of a CSV or TSV, every cell a text: `NA`, `null` and `None` are what they are written as. Beside them
    the line on which each row begins."""
    first = text.lstrip().partition("\n")[0]
    semicolons = kind == ".csv" and "," not in first and ";" in first  # as spreadsheets write where commas are decimal
    delimiter = "\t" if kind == ".tsv" else ";" if semicolons else ","
    before, begins, header, rows, lines = csv.field_size_limit(LONGEST_FIELD), 1, None, [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row and header is None:
                header = _header(row, path)
            elif row and header is not None:
                if len(row) != len(header):
                    raise UserError(
                        f"{path} line {begins}: {len(row)} fields where the header has {len(header)}; write a text "
                        "with separators or line breaks in double quotes, and double the quotes inside it"
                    )
                rows.append(row)
                lines.append(begins)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path} line {begins}: the row that begins here cannot be read ({error}); write a text with quotes in "
            "double quotes, and double the quotes inside it"
        ) from None
    finally:
        csv.field_size_limit(before)
    return {name: [row[place] for row in rows] for place, name in enumerate(header or ())}, lines


def _header(row: list[str], path: Path) -> list[str]:
    names = [name.strip() or f"Unnamed: {place}" for place, name in enumerate(row)]
    _check_distinct(names, str(path))
    return names


def _check_distinct(names: Sequence[str], what: str) -> None:
    if repeated := [name for name in dict.fromkeys(names) if list(names).count(name) > 1]:
        raise UserError(f"{what} has {repeated[0]!r} as the name of several columns; give each column its own name")


def _json_lines(content: bytes, path: Path) -> tuple[list[Mapping], list[int]]:
    """The objects, and the line of each."""
    records, lines = [], []
    for at, line in enumerate(_decoded(content, path).split("\n"), start=1):  # splitlines would split inside a text
        if line.strip():
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{path} line {at}: not valid JSON ({error.msg} at column {error.colno}); each line holds one JSON "
                    "object"
                ) from None
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
                raise UserError(
                    f"{path} line {at}: JSON that cannot be read ({error}); a line is one object of texts and numbers"
                ) from None
            if not isinstance(record, dict):
                raise UserError(f"{path} line {at}: a JSON {type(record).__name__}; a line is one JSON object")
            records.append(record)
            lines.append(at)
    return records, lines


def _json(content: bytes, path: Path) -> list[Mapping]:
    try:
        records = json.loads(_decoded(content, path))
    except json.JSONDecodeError as error:
        hint = "one object a line is a .jsonl file" if error.msg == "Extra data" else "correct it"
        raise UserError(f"{path} line {error.lineno}: not valid JSON ({error.msg}); {hint}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is JSON that cannot be read ({error}); write a list of objects of texts") from None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UserError(f'{path} is not a list of JSON objects; write [{{"text": "...", "label": "..."}}, ...]')
    return records


def _parquet(content: bytes, path: Path) -> tuple[dict[str, list], dict[str, tuple[str, ...]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); write it again") from None
    _check_distinct(table.column_names, str(path))
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    if b"huggingface" not in (table.schema.metadata or {}):
        return columns, {}
    import datasets

    return _named_classes(columns, datasets.Features.from_arrow_schema(table.schema))


# ------------------------------------------------------------------------------------------------------ in memory


def _in_memory(data, role: str) -> Table:
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        names = [str(name) for name in data.columns]
        _check_distinct(names, role)
        own = {name: [plain(value) for value in data.iloc[:, at].tolist()] for at, name in enumerate(names)}
        return Table(name=role, stem="data", columns=own, classes={})
    import datasets

    if isinstance(data, datasets.Dataset):
        return _of_dataset(data, role, "data")
    if isinstance(data, datasets.DatasetDict):
        raise UserError(f"{role} is a DatasetDict with the splits {', '.join(data)}; give one of them, data[{role!r}]")
    if isinstance(data, Sequence) and not isinstance(data, bytes) and all(isinstance(row, Mapping) for row in data):
        columns = _of_records(data, role)
        columns = {name: [plain(value) for value in own] for name, own in columns.items()}
        return Table(name=role, stem="data", columns=columns, classes={})
    raise UserError(
        f"{role} is a {type(data).__name__}; valid: a path ({', '.join(FORMATS)}), 'hub:ORG/NAME', a pandas.DataFrame, "
        "a datasets.Dataset or a list of dicts"
    )


def _of_records(records: Sequence[Mapping], what: str) -> dict[str, list]:
    """Columns in order of first use; a record that lacks one has None in it."""
    names = list(dict.fromkeys(name for record in records for name in record))
    _check_distinct([str(name) for name in names], what)
    return {str(name): [record.get(name) for record in records] for name in names}


def _of_dataset(data, name: str, stem: str, others: tuple[str, ...] = ()) -> Table:
    """A `datasets.Dataset`; what is neither text nor number, such as an image, is not decoded."""
    import datasets

    data, columns = data.with_format(None), {}
    for column, feature in data.features.items():
        simple = isinstance(feature, (datasets.Value, datasets.ClassLabel))
        columns[column] = [plain(value) for value in data[column]] if simple else [feature] * len(data)
    columns, classes = _named_classes(columns, data.features)
    return Table(name=name, stem=stem, columns=columns, classes=classes, others=others)


def _named_classes(columns: dict[str, list], features) -> tuple[dict[str, list], dict[str, tuple[str, ...]]]:
    """The columns with the names of classes for their ids; -1, which stands for no label, is missing."""
    import datasets

    classes = {
        column: tuple(feature.names) for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)
    }
    named = {
        column: [None if value is None or value < 0 else names[value] for value in columns[column]]
        for column, names in classes.items()
    }
    return columns | named, classes

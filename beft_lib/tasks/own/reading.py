"""Files, data sets of the Hub and objects in memory, read into one form: columns of plain values."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from beft_lib.errors import UserError

from ..sources.local import read_bytes
from . import hub
from .separated import Read, check_distinct, decoded
from .separated import read as read_separated
from .values import decimal_commas, plain, rows_in_words

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")  # all but the last may be compressed: .jsonl.gz
PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\..*")  # how the parts of a large data set are called


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """One data set as its user knows it. Row i of a column is the user's row i + 1, without the header.

    `name`: what messages call it, a file, `hub:ORG/NAME:SPLIT` or the argument it was given as. `stem`: what a task
    made of it is called. `columns`: the values of each column, None where one is missing; class ids of
    `datasets.ClassLabel` are replaced by their names, whose order `classes` keeps. `others`: the data set's other
    splits on the Hub. `lines`: the line of its file on which each row begins, for files of lines. `said`: what was
    assumed of its form, in sentences. `faults`: why a column cannot be used.
    """

    name: str
    stem: str
    columns: Mapping[str, list]
    classes: Mapping[str, tuple[str, ...]]
    others: tuple[str, ...] = ()
    lines: Sequence[int] = ()
    said: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)

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


def with_numbers(table: Table, column: str) -> Table:
    """The table with numbers in a column of texts such as `3,5`; as it is where the column holds others."""
    numbers = decimal_commas(table.columns[column])
    if numbers is None:
        return table
    said = f"{table.name}: column {column!r} writes decimals with a comma; they are read as numbers."
    return replace(table, columns={**table.columns, column: numbers}, said=(*table.said, said))


# ---------------------------------------------------------------------------------------------------------- files


def _of_file(path: Path) -> Table:
    if path.is_dir():
        return _of_folder(path)
    suffix = _suffix(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.iterdir() if _known(p)) if path.parent.is_dir() else []
        have = f"; in {path.parent} there are {', '.join(near[:10])}" if near else ""
        raise UserError(f"data file {path} does not exist{have}. Name a file ({', '.join(FORMATS)}), or hub:ORG/NAME")
    content, kind = read_bytes(path), suffix.removesuffix(".gz")
    name, stem = str(path), path.name[: -len(suffix)]
    part = PART.fullmatch(path.name)
    said = [f"{path} is a part of {int(part[3])} of a data set; its folder is read whole."] if part else []
    if kind == ".parquet":
        return _parquet(content, path, tuple(said))
    if kind in (".csv", ".tsv"):
        found = read_separated(decoded(content, path), path, kind)
        columns = {name: list(map(plain, own)) for name, own in _numbers(found, said, path).items()}
        said = (*found.said, *said)
        return Table(name=name, stem=stem, columns=columns, classes={}, lines=found.lines, said=said)
    records, lines = _json_lines(content, path) if kind == ".jsonl" else (_json(content, path), [])
    columns = _plain(_of_records(records, str(path)))
    return Table(name=name, stem=stem, columns=columns, classes={}, lines=lines, said=tuple(said))


def _numbers(found: Read, said: list[str], path: Path) -> dict[str, list]:
    """The columns, those with decimal commas as numbers where no comma separates the fields."""
    if found.delimiter == ",":
        return dict(found.columns)
    columns: dict[str, list] = dict(found.columns)
    for name, values in found.columns.items():
        if (numbers := decimal_commas(values)) is not None:
            columns[name] = numbers
            said.append(f"{path}: column {name!r} writes decimals with a comma; they are read as numbers.")
    return columns


def _of_folder(path: Path) -> Table:
    """The parts of one data set, `train-00000-of-00002.parquet` and so on, in their order, as one table."""
    found = [(file, match) for file in sorted(path.iterdir()) if (match := PART.fullmatch(file.name)) and _known(file)]
    kinds = {(match[1], match[3], _suffix(file)) for file, match in found}
    if len(kinds) != 1:
        names = ", ".join(sorted({match[1] for _, match in found})) if found else ""
        why = f"with the parts of several data sets ({names})" if found else "without the parts of one data set"
        if (path / "state.json").is_file():
            why = "that datasets.save_to_disk wrote: load it with datasets.load_from_disk, and give what that returns"
        raise UserError(
            f"data file {path} is a folder {why}. Name a file ({', '.join(FORMATS)}), a folder with the parts of one "
            "data set (NAME-00000-of-00002.parquet, ...), or hub:ORG/NAME"
        )
    ((stem, count, _),) = kinds
    if lost := sorted(set(range(int(count))) - {int(match[2]) for _, match in found}):
        raise UserError(f"data folder {path} lacks part {lost[0]:05} of {count} of {stem}; copy all parts")
    parts = [_of_file(file) for file, _ in found]
    for part in parts[1:]:
        if set(part.columns) != set(parts[0].columns):
            raise UserError(f"{part.name} has other columns than {parts[0].name}; parts of a data set have the same")
    columns = {name: [value for part in parts for value in part.columns[name]] for name in parts[0].columns}
    faults = {name: why for part in parts for name, why in part.faults.items()}
    whole = replace(parts[0], name=str(path), stem=stem, columns=columns, faults=faults)
    return replace(whole, lines=(), said=(f"{path}: {len(parts)} parts of {stem}, read as one data set.",))


def _plain(columns: Mapping[str, list]) -> dict[str, list]:
    return {name: [plain(value) for value in own] for name, own in columns.items()}


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


def _json_lines(content: bytes, path: Path) -> tuple[list[Mapping], list[int]]:
    """The objects, and the line of each."""
    records, lines = [], []
    for at, line in enumerate(decoded(content, path).split("\n"), start=1):  # splitlines would split inside a text
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
        records = json.loads(decoded(content, path))
    except json.JSONDecodeError as error:
        hint = "one object a line is a .jsonl file" if error.msg == "Extra data" else "correct it"
        raise UserError(f"{path} line {error.lineno}: not valid JSON ({error.msg}); {hint}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is JSON that cannot be read ({error}); write a list of objects of texts") from None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UserError(f'{path} is not a list of JSON objects; write [{{"text": "...", "label": "..."}}, ...]')
    return records


def _parquet(content: bytes, path: Path, said: tuple[str, ...]) -> Table:
    """Of foreign metadata only the names of classes are taken, of columns only what Python has a value for."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); write it again") from None
    check_distinct(table.column_names, str(path))
    columns, faults = {}, {}
    for name in table.column_names:
        try:
            columns[name] = [plain(value) for value in table.column(name).to_pylist()]
        except (pyarrow.ArrowException, ValueError, TypeError, NotImplementedError, OverflowError) as error:
            columns[name] = [object()] * len(table)
            faults[name] = f"column {name!r} of {path} cannot be read ({error}); write it as texts or numbers"
    classes = _stored_classes(table.schema.metadata or {}, columns)
    columns, wrong = _named(columns, classes, str(path))
    stem = path.name[: -len(_suffix(path))]
    return Table(name=str(path), stem=stem, columns=columns, classes=classes, said=said, faults=faults | wrong)


def _stored_classes(metadata: Mapping[bytes, bytes], columns: Mapping[str, list]) -> dict[str, tuple[str, ...]]:
    """The names of classes that `datasets` wrote into a Parquet file; what cannot be understood is passed over."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        labels = {name: f["names"] for name, f in features.items() if f.get("_type") == "ClassLabel"}
        known = {name: names for name, names in labels.items() if name in columns and isinstance(names, list)}
        return {name: tuple(map(str, names)) for name, names in known.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


# ------------------------------------------------------------------------------------------------------ in memory


def _in_memory(data, role: str) -> Table:
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        names = [str(name) for name in data.columns]
        check_distinct(names, role)
        own = {name: [plain(value) for value in data.iloc[:, at].tolist()] for at, name in enumerate(names)}
        return Table(name=role, stem="data", columns=own, classes={})
    import datasets

    if isinstance(data, datasets.Dataset):
        return _of_dataset(data, role, "data")
    if isinstance(data, datasets.DatasetDict):
        raise UserError(f"{role} is a DatasetDict with the splits {', '.join(data)}; give one of them, data[{role!r}]")
    if hasattr(data, "to_pandas"):  # a pyarrow.Table, a polars.DataFrame
        return _in_memory(data.to_pandas(), role)
    if isinstance(data, Sequence) and not isinstance(data, bytes) and all(isinstance(row, Mapping) for row in data):
        return Table(name=role, stem="data", columns=_plain(_of_records(data, role)), classes={})
    raise UserError(
        f"{role} is a {type(data).__name__}; valid: a path ({', '.join(FORMATS)}), 'hub:ORG/NAME', a pandas.DataFrame, "
        "a datasets.Dataset, a pyarrow or polars table, or a list of dicts"
    )


def _of_records(records: Sequence[Mapping], what: str) -> dict[str, list]:
    """Columns in order of first use; a record that lacks one has None in it."""
    names = list(dict.fromkeys(name for record in records for name in record))
    check_distinct([str(name) for name in names], what)
    return {str(name): [record.get(name) for record in records] for name in names}


def _of_dataset(data, name: str, stem: str, others: tuple[str, ...] = ()) -> Table:
    """A `datasets.Dataset`; what is neither text nor number, such as an image, is not decoded."""
    import datasets

    data, columns = data.with_format(None), {}
    for column, feature in data.features.items():
        simple = isinstance(feature, (datasets.Value, datasets.ClassLabel))
        columns[column] = [plain(value) for value in data[column]] if simple else [feature] * len(data)
    kinds = data.features.items()
    classes = {column: tuple(kind.names) for column, kind in kinds if isinstance(kind, datasets.ClassLabel)}
    columns, wrong = _named(columns, classes, name)
    return Table(name=name, stem=stem, columns=columns, classes=classes, others=others, faults=wrong)


def _named(
    columns: dict[str, list], classes: Mapping[str, tuple[str, ...]], what: str
) -> tuple[dict[str, list], dict[str, str]]:
    """The columns with the names of classes for their ids, -1 standing for no label; and what is wrong with any."""
    named, wrong = {}, {}
    for column, names in classes.items():
        ids = [int(v) if isinstance(v, float) and v.is_integer() else v for v in columns[column]]
        other: dict[object, list[int]] = {}
        for at, value in enumerate(ids, start=1):
            if value is not None and value not in names and value not in range(-1, len(names)):
                other.setdefault(value, []).append(at)
        if other:
            listed = "; ".join(f"{value!r} in {rows_in_words(rows)}" for value, rows in list(other.items())[:3])
            wrong[column] = (
                f"column {column!r} of {what} has labels that are no ids of its classes {', '.join(names)}: {listed}; "
                f"correct the ids (0 to {len(names) - 1}, or -1 for none), or add names"
            )
            continue
        named[column] = [v if v is None or v in names else None if v < 0 else names[int(v)] for v in ids]
    return columns | named, wrong

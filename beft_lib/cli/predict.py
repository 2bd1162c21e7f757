"""`beft predict`: the texts of a table, named by a saved adapter, beside the table's own columns."""

import csv
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from beft_lib import adapters
from beft_lib.adapters import Predictor
from beft_lib.errors import UserError, unknown
from beft_lib.tasks.own import reading
from beft_lib.tasks.own.checks import named
from beft_lib.tasks.own.reading import Table
from beft_lib.tasks.own.values import missing
from beft_lib.workspace import write_whole

FORMATS = ("csv", "jsonl")
STANDARD = "-"  # standard input, or output
LABEL, SHARE, SHARES = "predicted", "probability", "probabilities"  # columns that are added
WORD = "word"
SECONDS = 2.0  # between lines of progress


def predict(
    adapter: Path,
    given: str,
    *,
    model: str | None = None,
    text: Sequence[str] | None = None,
    out: str | None = None,
    form: str | None = None,
) -> int:
    """Read a table, name its texts and write it with what was found; the exit status.

    Rows without a text are kept, with nothing predicted, and named on standard error.
    """
    form = _form(out, form)
    if out not in (None, STANDARD) and given != STANDARD and Path(out).absolute() == Path(given).absolute():
        raise UserError(f"--out {out} is the input; name another file")
    table = _read(given)
    predictor = adapters.pipeline(adapter, model)
    columns = _columns(table, predictor, text)
    _check_free(table, _added(predictor, form))
    rows = list(zip(*(table.columns[name] for name in columns)))
    whole = [place for place, texts in enumerate(rows) if not any(map(missing, texts))]
    found: list[dict[str, Any] | None] = [None] * len(rows)
    progress = _Progress()
    predictions = predictor([tuple(map(str, rows[place])) for place in whole], progress)
    for place, prediction in zip(whole, predictions):
        found[place] = prediction
    content = (_csv if form == "csv" else _jsonl)(table, predictor, found)
    if out in (None, STANDARD):
        sys.stdout.write(content)
        sys.stdout.flush()
    else:
        write_whole(Path(str(out)), content)
    _tell(table, columns, predictor, [place + 1 for place, one in enumerate(found) if one is None], out)
    return 0


def _form(out: str | None, asked: str | None) -> str:
    """The format of the output: as asked for, else by the file's ending, else CSV."""
    ending = Path(out or "").suffix.lower().removeprefix(".")
    if asked is None and out not in (None, STANDARD) and ending not in FORMATS:
        raise UserError(f"--out {out}: the ending {ending!r} says no format; valid: .csv, .jsonl, or give --format")
    return asked or (ending if ending in FORMATS else FORMATS[0])


# ------------------------------------------------------------------------------------------------------- the input


CALLED = "standard input"


def _read(given: str) -> Table:
    if given != STANDARD:
        return reading.read(given, "input")
    content = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"input{_ending(content)}"
        file.write_bytes(content)
        try:
            return replace(reading.read(file, "input"), name=CALLED)
        except UserError as error:
            raise UserError(str(error).replace(str(file), CALLED)) from None


def _ending(content: bytes) -> str:
    """Which format standard input is in, by how it begins."""
    if content.startswith(b"PAR1"):
        return ".parquet"
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] in (b"{", b"["):
        return ".jsonl" if start[:1] == b"{" else ".json"
    header = start.partition(b"\n")[0]
    return ".tsv" if b"\t" in header and b"," not in header else ".csv"


def _columns(table: Table, predictor: Predictor, asked: Sequence[str] | None) -> tuple[str, ...]:
    """The columns of texts: those that were asked for, else those of the data that was tuned on, else the only one."""
    names = list(table.columns)
    wanted = tuple(asked) if asked else predictor.columns
    if not wanted or (not asked and len(wanted) == 1 == len(names)):
        if len(names) > 1:
            raise UserError(f"{table.name}: which column holds the texts? valid: {', '.join(names)} (--text COLUMN)")
        wanted = (names[0],)
    if len(wanted) != predictor.texts:
        raise UserError(
            f"--text {' '.join(wanted)}: {len(wanted)} columns, and the adapter reads {predictor.texts}"
            f" ({', '.join(predictor.columns) or 'a text'}); valid: {', '.join(names)}"
        )
    for name in wanted:
        if name not in table.columns:
            hint = "" if asked else "The adapter was tuned on that column; name the one here with --text"
            raise unknown(f"column of {table.name}", name, names, hint)
    return wanted


# ------------------------------------------------------------------------------------------------------ the output


def _added(predictor: Predictor, form: str) -> list[str]:
    """The columns that the output has beside the table's own."""
    if predictor.regression:
        return [LABEL]
    word = [WORD] if predictor.prompt else []
    return [LABEL, *word, SHARE, *(_shares(predictor) if form == "csv" else [SHARES])]


def _shares(predictor: Predictor) -> list[str]:
    return [f"{SHARE}:{label}" for label in predictor.labels]


def _check_free(table: Table, added: Sequence[str]) -> None:
    if taken := [name for name in added if name in table.columns]:
        raise UserError(f"{table.name} has a column {taken[0]!r} already, which the output adds; rename it there")


def _values(predictor: Predictor, prediction: dict[str, Any] | None) -> Iterator[Any]:
    """What is added to a row, without the probabilities of all classes; None where nothing is predicted."""
    found = prediction or {}
    yield found.get("score" if predictor.regression else "label")
    if predictor.prompt:
        yield found.get("word")
    if not predictor.regression:
        yield found.get("probability")


def _csv(table: Table, predictor: Predictor, found: Sequence[dict[str, Any] | None]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*table.columns, *_added(predictor, "csv")])
    for own, prediction in zip(zip(*table.columns.values()), found, strict=True):
        shares = [None] * len(predictor.labels) if prediction is None else list(prediction.get(SHARES, {}).values())
        added = (_short(value) for value in (*_values(predictor, prediction), *shares))
        writer.writerow(["" if value is None else value for value in (*own, *added)])
    return buffer.getvalue()


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else value


def _jsonl(table: Table, predictor: Predictor, found: Sequence[dict[str, Any] | None]) -> str:
    lines, names = [], _added(predictor, "jsonl")
    for own, prediction in zip(zip(*table.columns.values()), found, strict=True):
        added = list(_values(predictor, prediction))
        if not predictor.regression:
            added.append(None if prediction is None else prediction[SHARES])
        row = dict(zip(table.columns, own)) | dict(zip(names, added, strict=True))
        lines.append(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    return "".join(lines)


def _tell(table: Table, columns: Sequence[str], predictor: Predictor, empty: list[int], out: str | None) -> None:
    """On standard error: what was done, and what a reader of the output should know."""
    _say(f"{len(table) - len(empty):,} of {len(table):,} rows of {table.name} are named" + (f": {out}" if out else ""))
    if empty:
        _say(f"nothing is predicted where there is no text: {named(table, columns, empty)}")
    if predictor.truncated:
        _say(f"{predictor.truncated:,} texts are longer than {predictor.max_length} tokens, and the rest was cut off")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Progress:
    """Lines on standard error, every few seconds."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if done < of and now - self._told > SECONDS:
            left = (now - self._started) / done * (of - done)
            _say(f"  {done:,} of {of:,} texts, about {left:.0f} s left")
            self._told = now

"""Fill the numbers of README.md and docs/*.md in from files: `python scripts/fill_numbers.py`, or `--check` them.

A document holds *placeholders*, which a reader of the rendered text does not see:

    b_v leads by <!--n cpu/claims.csv id=value-beats-query model=MiniLM-L6 :points-->13.6 points [11.4, 15.7]<!--/-->

- the file, a CSV in the folder of reports, or `measured` for docs/measured.yaml (what was measured once);
- the rows: `column=value` for each column that decides; `a|b` is either value; blanks are quoted as in a shell;
- after the colon the form. `COLUMN` is a cell as it stands, `COLUMN:.1f` its number (`:.1%` of a share), `COLUMN:first`
  the first number in it, `COLUMN:ours` and `COLUMN:paper` what is before and after the ` | `, `COLUMN:start` what is
  before the first semicolon. `count` is the number of rows, `values(COLUMN)` how many different values they hold,
  `mean(COLUMN):.1%` their mean. `interval` and `points` are a claim's effect and 95 %
  interval, without and with its unit.

A *block* is a whole table: its form is a name of `BLOCKS`, and its text stands on lines of its own.

`--check` names every number that is not what its file says, and every number of a result that stands outside a
placeholder: exit status 1. A placeholder whose file, column or row does not exist: 2. Standard library only.
"""

import argparse
import csv
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PLACEHOLDER = re.compile(r"<!--n\s+(?P<key>.*?)-->(?P<text>.*?)<!--/-->", re.DOTALL)
NUMBER = re.compile(r"[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
Row = Mapping[str, str]

# A number of a result, by what stands beside it: a share, points, an interval, a size, a time, a factor, a count.
RESULT = re.compile(
    r"\d\s?%|\d\s+points?\b|\[[-−]?\d[\d.,]*,\s*[-−]?\d|\d\s?(?:kB|KB|MB|GB)\b|\d\s+(?:seconds?|minutes?|hours?)\b"
    r"|\d\s?×(?!\s?\d)|\d\s+times\b|\d\s+(?:of|in)\s+\d+"
)
# What is no result though it looks like one: the level of an interval, and the shape of a model.
ALLOWED = re.compile(r"95 % intervals?|\d+ × \d+")
# Told with what measured them where they stand: the benchmarks write their own blocks there.
MEASUREMENTS = ("docs/speed.md",)

VERDICTS = ("supported", "leans", "no difference", "contradicted", "nothing learned", "not tested")


class Missing(Exception):
    """A placeholder's file, row, column or form does not exist."""


class Difference(NamedTuple):
    """A number that is not what its file says: where, of which placeholder, what is stated and what is right."""

    line: int
    key: str
    stated: str
    right: str


# ------------------------------------------------------------------------------------------------ what files hold


@cache
def rows_of(file: str, reports: Path) -> tuple[Row, ...]:
    """The rows of a CSV in the folder of reports; raises `Missing`."""
    path = reports / file
    if path.suffix != ".csv" or not path.is_file():
        raise Missing(f"{path} is no CSV file; valid: a path below {reports}, as cpu/claims.csv, or measured")
    with path.open(newline="", encoding="utf-8") as opened:
        return tuple(csv.DictReader(opened))


@cache
def measured(root: Path) -> tuple[Row, ...]:
    """docs/measured.yaml as rows: `id` is an entry's name, the other columns are its lines `  name: text`."""
    rows: list[dict[str, str]] = []
    for line in (root / "docs" / "measured.yaml").read_text(encoding="utf-8").splitlines():
        name, colon, text = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        if not name.startswith(" "):
            rows.append({"id": name})
        elif rows:
            rows[-1][name.strip()] = text.strip().strip('"')
    return tuple(rows)


def value(key: str, reports: Path, root: Path = ROOT) -> str:
    """The text that belongs into the placeholder with this key; raises `Missing`."""
    try:
        file, *parts = shlex.split(key)
    except ValueError as error:
        raise Missing(f"cannot be read: {error}") from error
    if not parts or not parts[-1].startswith(":"):
        raise Missing("ends without a form; valid: FILE COLUMN=VALUE … :FORM")
    rows = measured(root) if file == "measured" else rows_of(file, reports)
    for part in parts[:-1]:
        column, equals, wanted = part.partition("=")
        if not equals or not rows or column not in set().union(*rows):
            raise Missing(f"no column {column!r} in {file}")
        rows = tuple(row for row in rows if row.get(column) in wanted.split("|"))
        if not rows:
            raise Missing(f"no row with {part!r} in {file}")
    return formed(parts[-1].removeprefix(":"), rows, file)


# ------------------------------------------------------------------------------------------------ forms


def formed(form: str, rows: Sequence[Row], file: str) -> str:
    """What a form makes of the rows: a block, an aggregate of all of them, or a cell of the only one."""
    if form in BLOCKS:
        return f"\n\n{BLOCKS[form](rows)}\n\n"
    if form == "count":
        return str(len(rows))
    if found := re.fullmatch(r"(mean|values)\((.+)\)(?::(.+))?", form):
        function, column, style = found.groups()
        cells = [cell(row, column, file) for row in rows]
        if function == "values":
            return str(len(set(cells)))
        return numeral(fmean(float(text) for text in cells), style or ".1f")
    if len(rows) != 1:
        raise Missing(f"{len(rows)} rows of {file} are meant, and the form is of one; name more columns")
    if form in ("interval", "points"):
        return interval(rows[0], file, unit=form == "points")
    column, _, style = form.partition(":")
    return styled(cell(rows[0], column, file), style)


def cell(row: Row, column: str, file: str) -> str:
    """A cell; raises `Missing` for a column that the file does not have."""
    if column not in row:
        raise Missing(f"no column {column!r} in {file}; valid: {', '.join(row)}")
    return row[column]


def styled(text: str, style: str) -> str:
    """A cell in a style: as it stands, its first number, a part of it, or its number in a format."""
    text = text.replace("**", "")
    ours, _, paper = text.partition(" | ")
    sides = {"": text, "ours": ours, "paper": paper, "start": text.partition(";")[0]}
    if style in sides:
        return re.sub(r"(?<![\w\d])-(?=\d)", "−", sides[style])
    if style == "first":
        found = NUMBER.search(text)
        return found.group().replace("-", "−") if found else text
    try:
        return numeral(float(text), style)
    except ValueError as error:
        raise Missing(f"{text!r} has no form {style!r}: {error}") from error


def numeral(number: float, style: str) -> str:
    """A number in a format, with a minus sign and a blank before the per cent sign; never a negative zero."""
    text = format(number, style)
    if text.startswith("-") and not re.search(r"[1-9]", text):
        text = text[1:]
    return text.replace("-", "−").replace("%", " %")


def interval(row: Row, file: str, unit: bool) -> str:
    """A claim's effect with its 95 % interval, as "13.6 points [11.4, 15.7]" or "13.6 [11.4, 15.7]"."""
    effect, low, high = (cell(row, column, file) for column in ("effect", "low", "high"))
    if not effect:
        raise Missing(f"{row['id']} on {row['model'] or 'no model'} has no effect in {file}")
    text = numeral(float(effect), ".1f")
    if unit:
        text += f" {cell(row, 'unit', file)}"
    return f"{text} [{numeral(float(low), '.1f')}, {numeral(float(high), '.1f')}]" if low and high else text


def questions(rows: Sequence[Row]) -> str:
    """The ledger's questions, with how many of its rows have which verdict."""
    for column in ("question", "verdict"):
        cell(rows[0], column, "the ledger")
    lines = [f"| question | {' | '.join(VERDICTS)} |", "|---|" + "--:|" * len(VERDICTS)]
    groups = [
        (name, [row for row in rows if row["question"] == name]) for name in dict.fromkeys(r["question"] for r in rows)
    ]
    for name, group in [*groups, ("all rows", rows)]:
        counts = Counter(row["verdict"] for row in group)
        lines.append(f"| {name} | {' | '.join(str(counts[v] or '') for v in VERDICTS)} |")
    return "\n".join(lines)


BLOCKS = {"questions": questions}


# ------------------------------------------------------------------------------------------------ documents


def documents(root: Path = ROOT) -> list[Path]:
    """README.md and the texts in docs/."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def filled(text: str, reports: Path, root: Path = ROOT) -> tuple[str, list[Difference], list[tuple[int, str, str]]]:
    """The text filled in; where that changes it; and (line, key, reason) of every placeholder that cannot be."""
    differences: list[Difference] = []
    missing: list[tuple[int, str, str]] = []

    def fill(found: re.Match) -> str:
        line, key, stated = text.count("\n", 0, found.start()) + 1, found["key"].strip(), found["text"]
        try:
            right = value(key, reports, root)
        except Missing as reason:
            missing.append((line, key, str(reason)))
            return found.group()
        if " ".join(stated.split()) == " ".join(right.split()) and ("\n" in right) == ("\n\n" in stated):
            return found.group()
        differences.append(Difference(line, key, stated.strip(), right.strip()))
        return found.group()[: found.start("text") - found.start()] + right + "<!--/-->"

    return PLACEHOLDER.sub(fill, text), differences, missing


def loose(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every number of a result that stands outside placeholders and code."""
    blank = lambda found: re.sub(r"[^\n]", " ", found.group())  # noqa: E731 - lines keep their numbers
    for pattern in (
        PLACEHOLDER,
        re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE),
        re.compile(r"<!--.*?-->", re.DOTALL),
    ):
        text = pattern.sub(blank, text)
    text = re.sub(r"`[^`\n]*`", blank, text)
    text = ALLOWED.sub(blank, text)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("    "):
            yield from ((number, found.group()) for found in RESULT.finditer(line))


def main(argv: Sequence[str] | None = None) -> int:
    """Fill in or check every document; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a number is not its file's")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", metavar="DIR", help="default: reports/")
    arguments = parser.parse_args(argv)
    wrong = absent = 0
    for path in documents():
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        new, differences, missing = filled(text, arguments.reports)
        for line, key, reason in missing:
            print(f"{name}:{line}: {key}: {reason}", file=sys.stderr)
        for one in differences:
            told = "stated {!r}, right {!r}" if arguments.check else "{!r} becomes {!r}"
            print(f"{name}:{one.line}: {one.key}: {told.format(one.stated, one.right)}")
        outside = [] if name in MEASUREMENTS else list(loose(text))
        for line, number in outside:
            print(f"{name}:{line}: {number!r} stands outside a placeholder", file=sys.stderr)
        if new != text and not arguments.check:
            path.write_text(new, encoding="utf-8")
        wrong += len(outside) + (len(differences) if arguments.check else 0)
        absent += len(missing)
    if absent or wrong:
        print("python scripts/fill_numbers.py fills in what files say; a form is described in it", file=sys.stderr)
    return 2 if absent else 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""The one place where rows of any source are checked and become examples."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from beft_lib.errors import UserError

from .definition import Task
from .examples import Examples, Prompts
from .prompt_task import PromptTask


def from_rows(task: Task | PromptTask, rows: Sequence[Mapping], where: Callable[[int], str]) -> Examples | Prompts:
    """The rows of one split, as `Examples` or `Prompts`; the first row that is not valid raises `UserError`.

    `where(i)` says where row i stands, for the message: a file and line, or a data set, split and row.
    """
    prompts = isinstance(task, PromptTask)
    columns = task.columns
    target = task.answers.partition(".")[0] if prompts and task.answers else task.label
    made, ids = [], {}
    for i, row in enumerate(rows):
        try:
            _check_columns(task, row, columns, target)
            made.append(_prompt(task, row, columns) if prompts else _example(task, row, columns))
        except _Invalid as error:
            raise UserError(f"{where(i)}: {error}") from None
        name = str(row.get(task.id, i))
        if ids.setdefault(name, i) != i:
            raise UserError(
                f"{where(i)}: {task.id} {name} was used before, in {where(ids[name])}; give each row its own "
                f"{task.id}, or leave the column out to number the rows by position"
            )
    if prompts:
        return _prompts(task, rows, made, tuple(ids), where)
    texts, labels = zip(*made) if made else ((), ())
    return Examples(texts, np.array(labels, np.float64 if task.regression else np.int64), tuple(ids))


def _prompts(task: PromptTask, rows, made, ids, where) -> Prompts:
    kept = [i for i, row in enumerate(rows) if all(len(row[column]) <= task.longest[column] for column in task.longest)]
    if made and not kept:
        limits = ", ".join(f"{column} of at most {limit}" for column, limit in task.longest.items())
        raise UserError(
            f"{where(0)} and all that follow: task {task.name!r} leaves them out, as none has {limits} characters; "
            "name the task without such a limit, or another data source"
        )
    parts = zip(*(made[i] for i in kept)) if made else ((), (), (), ())
    return Prompts(*parts, ids=tuple(ids[i] for i in kept), classes=len(task.options))


class _Invalid(Exception):
    """What is wrong with a row, without its place."""


def _check_columns(task, row, columns, target) -> None:
    for column in (*columns, target):
        if column not in row:
            raise _Invalid(
                f"no column {column!r}; task {task.name!r} needs the columns {', '.join(columns)} and "
                f"{target}, and this row has {', '.join(map(str, row)) or 'none'}"
            )


def _example(task: Task, row, columns) -> tuple[tuple[str, ...], int | float]:
    blanks = 0
    for column in columns:
        blanks += _is_blank(row[column], f"column {column!r}")
        if blanks > task.blank:
            raise _blank(column)
    texts = tuple(template.format_map(row) for template in task.text)
    return texts, _score(task, row) if task.regression else _class(task, row)


def _prompt(task: PromptTask, row, columns) -> tuple[str, tuple[str, ...], tuple[int, ...], tuple[str, ...]]:
    """Prompt, options, right and answers, as in `Prompts`."""
    for column in task.texts:
        if _is_blank(row[column], f"column {column!r}") and column not in task.blank:
            raise _blank(column)
    for table in task.words.values():
        value = row[table["column"]]
        if value not in table or value == "column":
            valid = ", ".join(known for known in table if known != "column")
            raise _Invalid(f"column {table['column']!r} is {_short(value)}; valid: {valid}. Correct the row")
    answers = _answers(task, row) if task.kind == "answer" else ()
    if answers:
        options, right = answers[:1], (0,)
    elif task.candidates:
        options = tuple(dict.fromkeys(_list(row[task.candidates], f"column {task.candidates!r}")))
        right = _among(task, row, options)
    else:
        options = task.options or tuple(row[column] for column in task.choices)
        right = (_class(task, row),)
    if task.placeholder and not any(task.placeholder in row[column] for column in task.filled):
        raise _Invalid(
            f"no {task.placeholder} in {' or '.join(task.filled)}, where it stands for the option; put it in, or leave "
            "the row out"
        )
    return *task.render(row, options), right, answers


def _answers(task: PromptTask, row) -> tuple[str, ...]:
    value = row
    for key in task.answers.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise _Invalid(f"no {task.answers}, the list of right answers; give it at least one text")
        value = value[key]
    return tuple(_list(value, task.answers))


def _among(task: PromptTask, row, options) -> tuple[int, ...]:
    answers = _list(row[task.label], f"column {task.label!r}")
    right = tuple(options.index(answer) for answer in dict.fromkeys(answers) if answer in options)
    if not right:
        raise _Invalid(
            f"none of {task.label}, {_short(answers)}, is among the {len(options)} {task.candidates}; add one to them, "
            "or leave the row out"
        )
    return right


def _list(value, what: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise _Invalid(f"{what} is {_short(value)}, which is not a list of texts; give it one with at least one text")
    for i, text in enumerate(value):
        if _is_blank(text, f"text {i} of {what}"):
            raise _Invalid(f"text {i} of {what} is blank; give it a text or leave it out")
    return value


def _is_blank(value, what: str) -> bool:
    if not isinstance(value, str):
        raise _Invalid(f"{what} is {_short(value)}, which is not a text; give it a text")
    return not value.strip()


def _blank(column: str) -> _Invalid:
    return _Invalid(f"column {column!r} is blank; give it a text or leave the row out")


def _class(task, row) -> int:
    value = row[task.label]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(task.labels):
        return value
    raise _not_a_label(task, value, ", ".join(f"{i} ({label})" for i, label in enumerate(task.labels)))


def _score(task, row) -> float:
    value = row[task.label]
    low, high = task.range
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        value = round(float(value), 6)  # the Hub stores 3.8 as a float32, 3.7999999523
        if low <= value <= high:
            return value
    raise _not_a_label(task, value, f"a number from {low:g} to {high:g}")


def _not_a_label(task, value, valid) -> _Invalid:
    if value == -1 and not isinstance(value, bool):
        problem = f"the {task.label} is -1, which marks a row without a gold label, as test splits have"
    else:
        problem = f"{task.label} {_short(value)} is not a {task.label} of task {task.name!r}"
    return _Invalid(f"{problem}; valid: {valid}. Correct the row or leave it out")


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

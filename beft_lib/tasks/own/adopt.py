"""A data set of one's own becomes a task like any other: read, checked, and kept beside the runs that use it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beft_lib.errors import Gathering, UserError, unknown

from ..catalogue import own_folder
from ..definition import Task
from ..prompt_task import PromptTask
from . import checks, columns, prompts, reading, writing
from .checks import Row
from .columns import Roles
from .labels import KINDS, Target, target
from .reading import Table
from .values import COUNTED

STEPS, LEAST_EPOCHS, MOST_EPOCHS = 400, 3, 20
BATCH, PROMPT_BATCH = 16, 8  # what runs use unless they are told otherwise
LEARNING_RATE = 1e-3
MAX_LENGTH, PROMPT_MAX_LENGTH = 128, 2048
TOKENS = 1.3  # of a word, about


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A data set that became a task.

    `task` and `source` are what a `RunSpec` takes, with n_train `train`. `train`, `evaluation`: how many examples there
    are of each, and `counts` how many of each class, empty for scores. `notices`: what was found in the data, in
    sentences. `columns`: the names of the texts' columns in the data, and those that they have in the task.
    """

    task: str
    source: str
    definition: Task | PromptTask
    train: int
    evaluation: int
    notices: tuple[str, ...]
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)


def adopt(
    train,
    evaluate=None,
    *,
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    kind: str | None = None,
    labels: Sequence | None = None,
    name: str | None = None,
    held_out: float = 0.2,
    seed: int = 0,
    drop_invalid: bool = False,
    max_length: int | None = None,
    prompt: str | None = None,
    words: Sequence[str] | Mapping[str, str] | None = None,
    space: bool | None = None,
) -> Adopted:
    """Make a task of labelled texts, which `tasks.get`, `RunSpec` and everything that follows then know by its name.

    `train`, `evaluate`: a path (.csv, .tsv, .jsonl, .json, .parquet; .gz of the texts among them), a data set of the
    Hub ("hub:ORG/NAME", "hub:ORG/NAME:SPLIT", "hub:ORG/NAME/CONFIG:SPLIT"), a pandas.DataFrame, a datasets.Dataset or a
    list of dicts. Without `evaluate`, the share `held_out` is drawn from train by `seed`, class by class, with equal
    texts on one side.

    `text`: the column of the texts or two of a pair; `label`: that of the labels or scores; found by their usual names,
    or by what they hold, if left out. `kind`: "classification" or "regression", by default by the labels. `labels`: the
    classes in the order of their ids; where the column holds ids from 0, the names of those. `name`: what the task is
    called, with a digest behind it. `drop_invalid`: leave out rows without a text or a label, which are refused
    otherwise. `max_length`: in tokens. `prompt` and `words`: a task for decoders instead, e.g. "{review} It was" with
    one word for each class, in their order or by label. `space`: whether a blank stands between the two; by default one
    does, but for words of a script that writes none.

    A copy of the data is kept in `own/` of the run store: `<name>/task.yaml` and its two splits. What is equal has the
    same name, so that runs of the same data are found again; delete the folder to remove the copy.

    Raises `UserError` for what cannot be read, understood or learned from; what is merely worth knowing is in
    `notices`. Both count rows from 1, without the header; "equal texts" differ in blanks at most.
    """
    _check(kind=kind, name=name, held_out=held_out, seed=seed, max_length=max_length)
    _check_prompt(prompt, words, space, text)
    tables, roles = _understood(train, evaluate, text=text, label=label, kind=kind, prompt=prompt)
    goal = _goal(tables[0], roles.label, kind=kind, labels=labels, prompt=prompt)
    options = prompts.options(words, goal.labels) if prompt else ()
    between, why = prompts.follows(options, space) if prompt else (" ", None)
    sides = _divide(tables, roles, goal, share=held_out, seed=seed, drop=drop_invalid)
    found = _found(tables[0], roles, goal, options)
    metrics, said = _metrics(sides, goal, bool(prompt))
    stem = tables[0].stem if name is None else name
    settings = _settings(stem, sides, max_length, bool(prompt)) | {"metrics": metrics}
    task = _write(stem, settings, sides, roles=roles, goal=goal, prompt=prompt, options=options, between=between)
    return Adopted(
        task=task.name,
        source=f"local:{own_folder()}",
        definition=task,
        train=len(sides.train),
        evaluation=len(sides.evaluation),
        notices=(*_forms(tables, why), *found, *goal.said, *sides.notices, *said, *([COUNTED] * sides.numbered)),
        counts=sides.counts(goal),
        columns=_stored(roles, prompt),
    )


# ------------------------------------------------------------------------------------------------------- the steps


@dataclass(frozen=True)
class _Sides:
    """The rows to train and to evaluate on; what was found of them in sentences, and whether those number rows."""

    train: Sequence[Row]
    evaluation: Sequence[Row]
    notices: Sequence[str]
    numbered: bool

    def counts(self, goal: Target) -> dict[str, tuple[int, int]]:
        """How many rows of each class there are on either side."""
        trained, evaluated = (Counter(row.label for row in side) for side in (self.train, self.evaluation))
        return {label: (trained[place], evaluated[place]) for place, label in enumerate(goal.labels)}


def _tables(given: Mapping[str, Any]) -> list[Table]:
    """What was given as each argument, read; all that cannot be is told at once."""
    tables, gathering = [], Gathering()
    for role, data in given.items():
        with gathering:
            tables.append(reading.read(data, role))
    gathering.tell()
    return tables


def _understood(train, evaluate, *, text, label, kind, prompt) -> tuple[list[Table], Roles]:
    """The tables that were given, and which of their columns are what."""
    given = {"train": train} | ({} if evaluate is None else {"evaluate": evaluate})
    tables = _tables(given)
    roles = _roles(tables, text=text, label=label, kind=kind, prompt=prompt)
    if kind == "regression":
        tables = [reading.with_numbers(table, roles.label) for table in tables]
    return tables, roles


def _forms(tables: Sequence[Table], why: str | None) -> list[str]:
    """What was assumed of the files' form, and of what stands between a prompt and a word."""
    return [*(sentence for table in tables for sentence in table.said), *([why] if why else [])]


def _roles(tables: Sequence[Table], *, text, label, kind, prompt) -> Roles:
    """Which columns are what, in every table."""
    roles = columns.find(tables[0], text, label, kind, prompts.shown(prompt) if prompt else ())
    for table in tables[1:]:
        if absent := [column for column in (*roles.texts, roles.label) if column not in table.columns]:
            raise UserError(
                f"{table.name} has no column {absent[0]!r}, as {tables[0].name} has; give both the same columns. "
                f"{columns.listing(table)}"
            )
    for table in tables:
        for column in (*roles.texts, roles.label):
            if column in table.faults:
                raise UserError(table.faults[column])
    return roles


def _goal(table: Table, column: str, *, kind, labels, prompt) -> Target:
    """What is predicted: classes, or for an encoder scores."""
    goal = target(table, column, kind, labels)
    if prompt and goal.regression:
        raise UserError(
            f"column {column!r} of {table.name} holds scores, and a prompt is answered by a word a class; "
            "leave prompt and words out, or name another label (--label)"
        )
    return goal


def _divide(tables: Sequence[Table], roles: Roles, goal: Target, *, share: float, seed: int, drop: bool) -> _Sides:
    """The valid rows to train and to evaluate on: of two tables, or of one with a share of it held out."""
    valid, left_out = checks.rows(tables, roles, goal, drop)
    repeated = [said for own, table in zip(valid, tables) for said in checks.repeated(own, table, roles, goal)]
    notices = [*left_out, *repeated]
    given = len(tables) > 1
    if given:
        evaluation = valid[1]
        checks.check_apart(valid[0], evaluation, [table.name for table in tables])
        train, overlap = checks.without_overlap(valid[0], evaluation, tables[0], roles)
        notices += overlap
        left_out += overlap
    else:
        train, evaluation = checks.hold_out(valid[0], share, seed, goal)
        notices.append(_held_out(train, evaluation, share, seed, goal, tables[0]))
    checks.check_sizes(train, evaluation, goal, not given, " ".join(left_out))
    return _Sides(train, evaluation, notices, bool(left_out or repeated) and bool(checks.counted(tables)))


def _metrics(sides: _Sides, goal: Target, prompted: bool) -> tuple[tuple[str, ...], list[str]]:
    """The task's metrics, the primary one first; and what there is to say of how little they may tell."""
    if goal.regression:
        return ("spearman", "pearson"), checks.width(sides.evaluation, goal)
    metrics = ("accuracy",) if prompted else ("accuracy", "macro_f1")
    said = checks.about_classes(sides.train, sides.evaluation, goal)
    if uneven := checks.imbalance(sides.train, goal):
        if prompted:
            primary = "only accuracy is defined for prompts, so compare it with always naming the commonest class"
        else:
            metrics, primary = metrics[::-1], "the primary metric is macro_f1, to which each class counts the same"
        said.append(f"{uneven}; {primary}.")
    return metrics, said + checks.width(sides.evaluation, goal)


def _write(
    stem: str,
    settings: dict,
    sides: _Sides,
    *,
    roles: Roles,
    goal: Target,
    prompt: str | None,
    options: Sequence[str],
    between: str,
) -> Task | PromptTask:
    """The task, kept beside the runs with its rows."""
    names = _stored(roles, prompt)
    form: type[Task] | type[PromptTask]
    own: Mapping[str, object]
    if prompt:
        wording = {"prompt": prompts.renamed(prompt, names), "options": options, "option": f"{between}{{option}}"}
        classes = {"labels": goal.labels, "label": "label"}
        form, own = PromptTask, wording | classes | {"kind": "options", "objective": "options"}
    elif goal.regression:
        scores = [row.label for row in (*sides.train, *sides.evaluation)]
        form, own = Task, {"kind": "regression", "text": _templates(names), "range": (min(scores), max(scores))}
    else:
        form, own = Task, {"kind": "classification", "text": _templates(names), "labels": goal.labels}
    splits = {"train": _records(sides.train, names), "validation": _records(sides.evaluation, names)}
    return writing.write(stem, lambda name: form.model_validate({"name": name, **settings, **own}), splits)


def _check(*, kind, name, held_out, seed, max_length) -> None:
    """Raise `UserError` for what cannot be, before anything is read."""
    if kind is not None and kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if name is not None and not isinstance(name, str):
        raise UserError(f"name {name!r} is not a text; give one such as 'reviews', or leave it out")
    if not isinstance(held_out, (int, float)) or not 0 < held_out < 1:
        raise UserError(f"held_out {held_out!r} is not a share between 0 and 1, such as 0.2")
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed {seed!r} is not a whole number from 0")
    if max_length is not None and (not isinstance(max_length, int) or max_length < 4):
        raise UserError(f"max_length {max_length!r} is not a number of tokens; give at least 4")


def _check_prompt(prompt, words, space, text) -> None:
    """Raise `UserError` for a prompt without words, and what else belongs together."""
    if space is not None and prompt is None:
        raise UserError(f"space {space!r} without a prompt: it says what stands between a prompt and its words")
    if (prompt is None) != (words is None):
        given, other = ("prompt", "words") if words is None else ("words", "prompt")
        raise UserError(f"{given} without {other}; a decoder needs both (--prompt, --words), an encoder neither")
    if prompt is not None and text is not None:
        raise UserError(f"text {text!r} with a prompt, which names the columns of the texts itself; leave text out")


def _found(table: Table, roles: Roles, goal: Target, options: Sequence[str]) -> list[str]:
    several = "s" if len(roles.texts) > 1 else ""
    what = "scores" if goal.regression else f"{len(goal.labels):,} classes"
    listed = " and ".join(map(repr, roles.texts))
    said = [f"Texts: column{several} {listed}; labels: column {roles.label!r} ({what})."]
    if goal.labels and columns.look(table.columns[roles.label]).holds == "whole":
        said.append(
            f"The {len(goal.labels)} numbers in {roles.label!r} are taken for classes, each as far from every other; "
            "where they are scores or grades, say kind='regression' (--kind regression)."
        )
    if options:
        pairs = ", ".join(f"{label!r} is answered by {word!r}" for label, word in zip(goal.labels, options))
        said.append(f"Words: {pairs}.")
    if roles.unused:
        said.append(f"Not used: column{'s' if len(roles.unused) > 1 else ''} {', '.join(map(repr, roles.unused))}.")
    return said


def _held_out(rows, evaluation, share: float, seed: int, goal: Target, table: Table) -> str:
    by_class = "" if goal.regression else ", class by class"
    said = (
        f"No evaluation data was given: {len(evaluation):,} of {len(rows) + len(evaluation):,} rows ({share:.0%}) were "
        f"held out for it{by_class}, drawn by seed {seed}; equal texts are on one side."
    )
    if table.others:
        base = table.name.rpartition(":")[0]
        others = ", ".join(f"{base}:{split}" for split in table.others)
        said += f" The data set's other splits can be evaluated on instead: {others}."
    return said


def _settings(title: str, sides: _Sides, max_length: int | None, decoder: bool) -> dict:
    """What an encoder's and a decoder's task have in common."""
    batch, longest = (PROMPT_BATCH, PROMPT_MAX_LENGTH) if decoder else (BATCH, MAX_LENGTH)
    longest = longest if max_length is None else max_length
    words = sum(len(text.split()) for row in sides.train for text in row.texts) / len(sides.train)
    return {
        "version": 1,
        "title": title,
        "validation": ({"split": "validation", "title": title},),
        "max_length": longest,
        "length": min(longest, max(1, round(TOKENS * words))),
        "evaluated": len(sides.evaluation),
        "learning_rate": LEARNING_RATE,
        "epochs": {"base": min(max(-(-STEPS * batch // len(sides.train)), LEAST_EPOCHS), MOST_EPOCHS)},
        "n": {"low": len(sides.train)},
    }


def _stored(roles: Roles, prompt: str | None) -> dict[str, str]:
    """The names of the text columns in the task's files."""
    if prompt:
        return prompts.stored_names(roles.texts)
    return dict(zip(roles.texts, ("text",) if len(roles.texts) == 1 else ("first", "second")))


def _templates(names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{{{name}}}" for name in names.values())


def _records(rows: Sequence[Row], names: Mapping[str, str]) -> list[dict]:
    return [dict(zip(names.values(), row.texts)) | {"label": row.label, "idx": str(row.number)} for row in rows]

"""`beft check FILE`: a task's definition, checked before it is used."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from beft_lib.errors import UserError
from beft_lib.tasks import Examples, Prompts, PromptTask, Task
from beft_lib.tasks.check import check


def text(path: Path, rows: Path | None) -> str:
    """What the file defines, and how its first row is read if `rows` (JSON lines) are given. `UserError` if wrong."""
    found = list(_read(rows)) if rows else []
    task, examples = check(path, found)
    origin = "bundled" if task.bundled else "hub, local:DIR" if task.hub else "local:DIR"
    lines = [f"{path} defines the task {task.name!r}: {task.kind}, by {', '.join(task.metrics)}, from {origin}"]
    if found:
        lines += [f"{rows}: {len(found):,} rows; the first is read as", *_first(task, examples)]
    return "\n".join(lines)


def _read(path: Path) -> Iterator[Mapping]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}; give rows as JSON lines, one object a line") from None
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path} line {number} is not JSON: {error}; write one object a line") from None
        if not isinstance(row, dict):
            raise UserError(f"{path} line {number} holds {type(row).__name__}; write one object of columns a line")
        yield row


def _first(task: Task | PromptTask, examples: Examples | Prompts) -> list[str]:
    """The first example as a model reads it: its texts and label, or its prompt and what may follow."""
    if not len(examples):
        return ["  none: the task leaves all of them out"]
    if isinstance(examples, Prompts):
        right = examples.right[0]
        options = [f"  {'right' if i in right else 'wrong'}: {text!r}" for i, text in enumerate(examples.options[0])]
        return [f"  prompt: {examples.prompts[0]!r}", *options]
    label = examples.labels[0]
    shown = f"{label:g}" if task.regression else f"{label} ({task.labels[label]})"
    return [*(f"  text: {text!r}" for text in examples.texts[0]), f"  label: {shown}"]

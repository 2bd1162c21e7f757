"""Prompts for a decoder, worded with the columns' own names."""

import string
from collections.abc import Mapping, Sequence

from beft_lib.errors import UserError, unknown

from ..prompt_task import FILTERS

RESERVED = {"label", "idx", "option"}


def shown(template: str) -> tuple[str, ...]:
    """The columns that a template names, in order of first use; `UserError` if it is not a template of columns."""
    return tuple(dict.fromkeys(column for _, column, _ in _parsed(template) if column is not None))


def renamed(template: str, names: Mapping[str, str]) -> str:
    """The template with other names for its columns."""
    parts = []
    for literal, column, spec in _parsed(template):
        parts.append(literal.replace("{", "{{").replace("}", "}}"))
        if column is not None:
            parts.append("{" + names[column] + (f":{spec}" if spec else "") + "}")
    return "".join(parts)


def stored_names(columns: Sequence[str]) -> dict[str, str]:
    """The name of each column in the task's files: its own, where a template of a task can name that."""
    fit = {column for column in columns if column.isidentifier() and column not in RESERVED}
    fresh = (name for name in (f"text{n}" for n in range(1, 2 * len(columns) + 1)) if name not in fit)
    return {column: column if column in fit else next(fresh) for column in columns}


def options(words, labels: Sequence[str]) -> tuple[str, ...]:
    """One word for each label, in their order."""
    if isinstance(words, Mapping):
        given = {str(label): word for label, word in words.items()}
        if set(given) != set(labels):
            raise UserError(
                f"words are for the labels {', '.join(given) or 'of none'}, and the classes are {', '.join(labels)}; "
                "give one word for each class"
            )
        words = [given[label] for label in labels]
    words = (words,) if isinstance(words, str) else tuple(words)
    if len(words) != len(labels):
        raise UserError(
            f"{len(words)} words ({', '.join(map(str, words))}) for {len(labels)} classes; give one for each, in the "
            f"order {', '.join(labels)} (--words)"
        )
    if not all(isinstance(word, str) and word.strip() for word in words) or len(set(map(str.strip, words))) < len(
        words
    ):
        raise UserError(f"words {list(words)!r} are not different texts; give each class a word of its own (--words)")
    return tuple(word.strip() for word in words)


def _parsed(template: str) -> list[tuple[str, str | None, str]]:
    """(text before, column, filter) of a template; no column after the last text."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"prompt {template!r} is not a template: {error}; write a brace of the text twice") from None
    for _, column, spec, conversion in parts:
        if column is not None and (not column or conversion):
            raise UserError(f"prompt {template!r}: braces hold the name of a column, as in '{{review}} It was'")
        if spec and spec not in FILTERS:
            raise unknown(f"filter in the prompt {template!r}", spec, FILTERS)
    if not any(column for _, column, _, _ in parts):
        raise UserError(f"prompt {template!r} names no column; write one in braces, as in '{{review}} It was'")
    if template.endswith(" "):
        raise UserError(f"prompt {template!r} ends in a blank; leave it out, as one is put before each word")
    return [(literal, column, spec or "") for literal, column, spec, _ in parts]

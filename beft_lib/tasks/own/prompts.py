"""Prompts for a decoder, worded with the columns' own names."""

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence

from beft_lib.errors import UserError, unknown

from ..prompt_task import FILTERS
from .lookalikes import INVISIBLE, skeleton

SCRIPTS = (
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
    "BOPOMOFO",
    "HALFWIDTH KATAKANA",
)
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
    for place, word in enumerate(words):
        if alike := [other for other in words[:place] if skeleton(other) == skeleton(word)]:
            raise UserError(
                f"words {alike[0]!r} and {word!r} look alike, and a decoder should tell them apart; give each class a "
                "word of its own (--words)"
            )
        if "\n" in word.strip() or INVISIBLE.search(word) or re.search(r"\\[nrt]", word):
            raise UserError(
                f"word {ascii(word)} holds a line break or a character that is not seen; leave it out (--words)"
            )
    return tuple(word.strip() for word in words)


def follows(words: Sequence[str], space: bool | None) -> tuple[str, str | None]:
    """What stands between a prompt and a word, `space` or nothing; and in a sentence why, where nobody said it.

    Scripts that write no blanks between words get none: Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan.
    """
    if space is not None:
        return (" " if space else ""), None
    if all(_without_blanks(word) for word in words):
        return "", (
            "No blank is put between a prompt and its words, whose script writes none; to have one, say space=True "
            "(--space)."
        )
    return " ", None


def _without_blanks(word: str) -> bool:
    letters = [character for character in word if unicodedata.category(character).startswith(("L", "M"))]
    return bool(letters) and all(unicodedata.name(c, "").startswith(SCRIPTS) for c in letters)


def _called(character: str) -> str:
    names = {" ": "a blank", "\n": "a line break", "\r": "a line break", "\t": "a tab"}
    return names.get(character) or f"{unicodedata.name(character, 'a control character').lower()} ({ascii(character)})"


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
    if template != template.rstrip():
        raise UserError(
            f"prompt {template!r} ends in {_called(template[-1])}; leave it out, as a blank is put before each word "
            "(or nothing, with space=False, --no-space)"
        )
    if hidden := INVISIBLE.search(template):
        raise UserError(f"prompt {template!r} holds {_called(hidden[0])}, which is not seen; leave it out")
    if escape := re.search(r"\\[nrt]", template):
        raise UserError(
            f"prompt {template!r} holds a backslash and the letter {escape[0][1]!r}, which is no line break or tab; in "
            "the shell write $'...\\n...', in Python '\\n' without r before the quote"
        )
    return [(literal, column, spec or "") for literal, column, spec, _ in parts]

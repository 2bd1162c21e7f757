"""Which columns of a data set are its texts and its labels: as named, by usual names, or by what they hold."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from beft_lib.errors import Gathering, UserError, unknown

from .reading import Table
from .values import is_simple, missing, number

# Compared without case, blanks and punctuation. Of the first groups a name decides; of the others only if it is alone.
LABELS = (
    ("label", "labels"),
    ("target", "class", "category", "sentiment", "score", "rating", "similarity", "gold"),
    ("goldlabel", "stars", "polarity", "intent", "topic", "emotion", "similarityscore", "relatednessscore", "y"),
)
PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "answer"),
    ("question", "passage"),
    ("question", "context"),
    ("text1", "text2"),
    ("texta", "textb"),
    ("sentencea", "sentenceb"),
    ("query", "document"),
    ("query", "passage"),
)
SINGLES = (
    ("text",),
    (
        "sentence",
        "review",
        "content",
        "comment",
        "body",
        "message",
        "title",
        "tweet",
        "utterance",
        "document",
        "question",
    ),
)
IDS = {"idx", "id", "guid", "uid", "uuid", "index", "unnamed0", "indexlevel0", "rowid", "rownumber"}
FEW = 20  # different whole numbers that are taken for classes
FLAGS = ({"true", "false"}, {"yes", "no"}, {"true"}, {"false"}, {"yes"}, {"no"})
MOSTLY = 0.9  # share of numbers, from which what is none among scores or counts is likely a mistake
WORDS = 4  # on average, from which a column that repeats itself is of texts all the same


@dataclass(frozen=True)
class Look:
    """What a column holds: "texts", "classes", "flags" (yes or no), "whole" or "fractional" numbers.

    Else "objects" or "nothing". `distinct`: how many different values; `words`: what a message says of the column.
    """

    holds: str
    distinct: int
    words: str
    length: float = 0.0  # of texts, in words

    @property
    def in_text(self) -> bool:
        return self.holds in ("texts", "classes")


@dataclass(frozen=True)
class Roles:
    """The columns of the texts, one or two for an encoder or those of a prompt; of the label; and all others."""

    texts: tuple[str, ...]
    label: str
    unused: tuple[str, ...]


def look(values: Sequence) -> Look:
    """What the values of a column are, and how a message says so."""
    present = [value for value in values if not missing(value)]
    if not present:
        return Look("nothing", 0, "empty")
    simple = [value for value in present if is_simple(value)]
    if 2 * len(simple) <= len(present):
        lists = sum(isinstance(value, (list, tuple)) for value in present)
        return Look("objects", 0, "lists" if 2 * lists > len(present) else "neither texts nor numbers")
    present = simple
    numbers = [number(value) for value in present]
    if None not in numbers or mostly_numbers(numbers):
        known = [value for value in numbers if value is not None]
        distinct, whole = len(set(known)), all(value.is_integer() for value in known)
        kind, other = "whole" if whole else "fractional", len(numbers) - len(known)
        words = f"{kind} numbers from {min(known):g} to {max(known):g}, {distinct:,} different"
        return Look(kind, distinct, words + (f", and {other:,} that are none" if other else ""))
    texts = [str(value).strip() for value in present]
    distinct, length = dict.fromkeys(texts), sum(len(text.split()) for text in texts) / len(texts)
    if not any(isinstance(value, bool) for value in present) and (length >= WORDS or 2 * len(distinct) > len(texts)):
        words = f"texts of {length:.0f} words on average, such as {_short(texts[0])}"
        return Look("texts", len(distinct), words, length)
    shown = ", ".join(_short(text) for text in sorted(distinct)[:4]) + (", ..." if len(distinct) > 4 else "")
    flags = {text.lower() for text in distinct} in FLAGS
    count = f"{len(distinct):,} different values" if len(distinct) > 1 else "always the same"
    return Look("flags" if flags else "classes", len(distinct), f"{count}, {shown}")


def mostly_numbers(numbers: Sequence[float | None]) -> bool:
    """Whether values are scores or counts but for a few that are no numbers (None), such as `N/A`: hardly classes."""
    known = [value for value in numbers if value is not None]
    scores = len(set(known)) > FEW or not all(value.is_integer() for value in known)
    return scores and len(known) >= MOSTLY * len(numbers)


def find(table: Table, text, label: str | None, kind: str | None, shown: Sequence[str] = ()) -> Roles:
    """The roles of a table's columns; `shown` are those of a prompt, which are then the texts.

    Raises `UserError` for a name that there is not, columns that hold no texts, or where several could be meant.
    """
    names, label = list(table.columns), None if label is None else str(label)
    texts = tuple(shown) or _given(text)
    gathering = Gathering()
    for name in (*texts, *([label] if label is not None else [])):
        with gathering:
            if name not in table.columns:
                raise unknown(f"column of {table.name}", name, names)
    gathering.tell()
    if label in texts:
        raise UserError(
            f"column {label!r} of {table.name} is named as label, and as text or in the prompt; name two columns"
        )
    free = [name for name in names if name not in texts and name != label and _usual(name) not in IDS]
    looks = {name: look(table.columns[name]) for name in dict.fromkeys((*texts, *free))}
    free = [name for name in free if looks[name].holds not in ("nothing", "objects")]
    if label is None:
        label = _known_label(table, free, looks)
        free = [name for name in free if name != label]
    if not texts:
        texts = _known_texts(table, [name for name in free if looks[name].in_text])
        free = [name for name in free if name not in texts]
    gathering = Gathering()
    if label is None:
        able = [name for name in free if _can_be_label(looks[name], kind)]
        able = [name for name in able if looks[name].distinct > 1] or able
        with gathering:
            label = _only(table, "labels", sorted(able, key=lambda name: _unlikely(name, looks[name])))
        free = [name for name in free if name != label]
    if not texts:
        able = [name for name in free if looks[name].holds == "texts"]
        with gathering:
            texts = (_only(table, "texts", sorted(able, key=lambda name: -looks[name].length)),)
    gathering.tell()
    assert label is not None, "there is a label, or an error was told"
    for name in texts:
        if not looks[name].in_text:
            raise UserError(
                f"column {name!r} of {table.name} holds no texts: {looks[name].words}; name another one with text=... "
                f"(--text). {listing(table)}"
            )
    return Roles(texts, label, tuple(name for name in names if name not in texts and name != label))


def listing(table: Table) -> str:
    """`The columns: 'review': texts of 20 words ...; 'stars': whole numbers ...`"""
    looks = (f"{name!r}: {look(values).words}" for name, values in table.columns.items())
    return f"The columns: {'; '.join(looks)}"


def _given(text) -> tuple[str, ...]:
    if text is None:
        return ()
    texts = tuple(map(str, text if isinstance(text, Iterable) and not isinstance(text, str) else (text,)))
    if len(texts) not in (1, 2) or len(set(texts)) != len(texts):
        raise UserError(f"text {text!r} is not a column or two; write text='review' or text=('premise', 'hypothesis')")
    return texts


def _known_label(table: Table, free: Sequence[str], looks) -> str | None:
    for place, group in enumerate(LABELS):
        found = [name for name in free if _usual(name) in group and (place == 0 or looks[name].holds != "texts")]
        if len(found) > 1:
            raise _several(table, "labels", found)
        if found:
            return found[0]
    return None


def _known_texts(table: Table, free: Sequence[str]) -> tuple[str, ...]:
    usual: dict[str, list[str]] = {}
    for name in free:
        usual.setdefault(_usual(name), []).append(name)
    pairs = [pair for pair in PAIRS if all(name in usual for name in pair)]
    found = list(dict.fromkeys(own for pair in pairs for name in pair for own in usual[name]))
    if len(found) > 2:
        raise _several(table, "texts", found)
    if found:
        return tuple(found)
    for group in SINGLES:
        found = [own for name in group for own in usual.get(name, ())]
        if len(found) > 1:
            raise _several(table, "texts", found)
        if found:
            return tuple(found)
    return ()


def _can_be_label(seen: Look, kind: str | None) -> bool:
    if seen.holds == "whole":
        return seen.distinct <= FEW or kind is not None
    return seen.holds == "fractional" or (seen.holds in ("classes", "flags") and kind != "regression")


def _unlikely(name: str, seen: Look) -> tuple[int, int, int]:
    """How far a column is from what labels usually are: by its name, by what it holds, by how many values it has."""
    usual = [known for group in LABELS for known in group if len(known) > 1] + ["queue", "kind", "type", "tag"]
    named = any(known in _usual(name) for known in usual)
    held = {"classes": 0, "whole": 1, "flags": 2, "fractional": 3}.get(seen.holds, 4)
    return 0 if named else 1, held, seen.distinct


def _only(table: Table, role: str, found: Sequence[str]) -> str:
    """The one column that can have the role."""
    if len(found) == 1:
        return found[0]
    raise _several(table, role, found)


def _several(table: Table, role: str, found: Sequence[str]) -> UserError:
    could = f"{_quoted(found)} could each hold the {role}" if found else f"no column is known to hold the {role}"
    example = repr(found[0]) if found else "'COLUMN'"
    if role == "labels":
        how = f"name it with label={example} (--label {example})"
    else:
        two = found[:2] if len(found) > 1 else ("FIRST", "SECOND")
        pair = f"({two[0]!r}, {two[1]!r})"
        how = (
            f"name one with text={example} (--text {example}), or a pair with text={pair} (--text {_quoted(two, ' ')})"
        )
    return UserError(f"{table.name}: {could}; {how}. {listing(table)}")


def _quoted(names: Sequence[str], between: str = ", ") -> str:
    return between.join(repr(name) for name in names)


def _usual(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 30 else text[:27] + "...")

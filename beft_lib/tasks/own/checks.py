"""What is wrong with rows, refused; what is worth knowing about them, said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beft_lib.errors import Gathering, UserError

from .columns import Roles
from .labels import Target, class_name
from .lookalikes import shown, skeleton
from .reading import Table
from .values import COUNTED, SHOWN, is_simple, missing, number, rows_in_words, some

LEAST_TRAIN, LEAST_EVALUATION, LEAST_OF_CLASS = 16, 10, 2
USUAL_EVALUATION = 100  # with fewer evaluation examples the width of an interval is said
COMMONEST, RAREST = 0.8, 0.05  # shares of a class in training, beyond which accuracy says little
START = 30  # characters of a text by which a row is named
DIGITS = 6  # of a score, as `rows` reads it


@dataclass(frozen=True)
class Row:
    """A valid row: its number as the user counts, its texts, and its class id or score."""

    number: int
    texts: tuple[str, ...]
    label: int | float

    @property
    def key(self) -> tuple[str, ...]:
        """What equal texts have in common: they differ in blanks at most."""
        return tuple(" ".join(text.split()) for text in self.texts)


# ----------------------------------------------------------------------------------------------------------- rows


def rows(tables: Sequence[Table], roles: Roles, goal: Target, drop: bool) -> tuple[list[list[Row]], list[str]]:
    """The valid rows of each table, and what was left out of them, in sentences.

    Raises `UserError` for rows without a text or label, unless they are to be left out (`drop`), and for labels of the
    second table that the first one lacks.
    """
    made, problems, gathering = [], [], Gathering()
    for table in tables:
        own, faults, other = [], {}, {}
        for at, (label, *texts) in enumerate(
            zip(*(table.columns[name] for name in (roles.label, *roles.texts))), start=1
        ):
            if (fault := _fault(texts, label, goal)) is not None:
                faults.setdefault(fault, []).append(at)
            elif (value := _value(label, goal)) is None:
                other.setdefault(class_name(label), []).append(at)
            else:
                own.append(Row(at, tuple(map(str, texts)), value))
        if other:
            with gathering:
                raise _unknown_labels(table, roles, goal, other)
        problems += [
            f"{table.name}: {_of(found, 'row')} {fault} ({named(table, roles.texts, found)})"
            for fault, found in faults.items()
        ]
        made.append(own)
    with gathering:
        if problems and not drop:
            raise UserError(
                f"{'; '.join(problems)}. Correct them, or leave these rows out with drop_invalid=True "
                f"(--drop-invalid). {counted(tables)}".rstrip()
            )
    gathering.tell()
    return made, [f"Left out of {problem}." for problem in problems]


def _unknown_labels(table: Table, roles: Roles, goal: Target, other: Mapping[str, Sequence[int]]) -> UserError:
    """The error for labels that the training data lacks, by the rows that have them."""
    told = "; ".join(
        f"{shown(name)} in {named(table, roles.texts, found)}{_meant(name, goal)}"
        for name, found in list(other.items())[:SHOWN]
    )
    more = f"; and {len(other) - SHOWN:,} more" if len(other) > SHOWN else ""
    return UserError(
        f"{table.name} has labels that the training data lacks: {told}{more}. The classes are "
        f"{some(goal.labels)}; correct or remove these rows, or add training rows of their class. "
        f"{counted([table])}".rstrip()
    )


def named(table: Table, columns: Sequence[str], numbers: Sequence[int]) -> str:
    """Rows in words: `rows 3 and 7`, or in a file of lines `line 4 ('A dull film ...') and line 8 (no text)`."""
    if not table.lines:
        return rows_in_words(numbers)
    first = []
    for row in numbers[:SHOWN]:
        texts = [table.columns[name][row - 1] for name in columns]
        text = next((" ".join(str(text).split()) for text in texts if not missing(text)), "")
        start = "no text" if not text else repr(text if len(text) <= START else f"{text[:START].rstrip()}...")
        first.append(f"line {table.lines[row - 1]:,} ({start})")
    rest = len(numbers) - len(first)
    last = f"{rest:,} more" if rest else first.pop()
    return f"{', '.join(first)} and {last}" if first else last


def counted(tables: Sequence[Table]) -> str:
    """How rows are counted, where they are named by number."""
    return "" if all(table.lines for table in tables) else COUNTED


def _meant(name: str, goal: Target) -> str:
    """The class that an unknown one looks like, as a question."""
    like = [label for label in goal.labels if skeleton(label) == skeleton(name)]
    return f" (did you mean {shown(like[0])}?)" if like else ""


def _fault(texts: Sequence, label, goal: Target) -> str | None:
    if any(missing(text) for text in texts):
        return "without a text"
    if any(not is_simple(text) for text in texts):
        return "with a text that is an object or broken Unicode"
    if missing(label):
        return "without a label"
    if not is_simple(label):
        return "with a label that is an object or broken Unicode"
    return "with a label that is not a number" if goal.regression and number(label) is None else None


def _value(label, goal: Target) -> int | float | None:
    """The class id or the score that a label without fault stands for; None for a class that is not known."""
    if goal.ids is not None:
        return goal.ids.get(class_name(label))
    score = number(label)
    assert score is not None, "a label that is no number is a fault"
    return round(score, DIGITS)


def hold_out(own: Sequence[Row], share: float, seed: int, goal: Target) -> tuple[list[Row], list[Row]]:
    """Rows for training and for evaluation, in their order: a share of each class is drawn, equal texts together.

    The shares of the classes are rounded so that they add up; every class of three rows or more is on both sides,
    unless its texts are equal.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(own):
        groups.setdefault(row.key, []).append(place)
    strata: dict[int | float, list[list[int]]] = {}
    for places in groups.values():
        strata.setdefault(0 if goal.regression else own[places[0]].label, []).append(places)
    generator, held = np.random.default_rng(seed), set()
    for stratum, wanted in zip(sorted(strata), _shares([sum(map(len, strata[s])) for s in sorted(strata)], share)):
        for at in generator.permutation(len(strata[stratum])):
            places = strata[stratum][at]
            if len(places) <= wanted:
                held |= set(places)
                wanted -= len(places)
    return [row for i, row in enumerate(own) if i not in held], [row for i, row in enumerate(own) if i in held]


def _shares(sizes: Sequence[int], share: float) -> list[int]:
    """How many of each class are held out: in all `share`, the largest remainders rounded up."""
    exact = [share * size for size in sizes]
    counts = [int(value) for value in exact]
    largest = sorted(range(len(sizes)), key=lambda place: counts[place] - exact[place])
    for place in largest[: round(share * sum(sizes)) - sum(counts)]:
        counts[place] += 1
    return [min(max(count, 1), max(size - LEAST_OF_CLASS, 0)) for count, size in zip(counts, sizes)]


def without_overlap(
    train: Sequence[Row], evaluation: Sequence[Row], table: Table, roles: Roles
) -> tuple[list[Row], list[str]]:
    """The training rows whose texts are not evaluated on, and in a sentence how many were left out."""
    tested = {row.key for row in evaluation}
    kept = [row for row in train if row.key not in tested]
    if not (left := [row.number for row in train if row.key in tested]):
        return kept, []
    where = f"{named(table, roles.texts, left)} of {table.name}"
    return kept, [
        f"{_of(left, 'training row')} left out ({where}), as the evaluation has the same texts: a model that remembers "
        "them would seem better than it is."
    ]


# -------------------------------------------------------------------------------------------------- what is worth


def repeated(own: Sequence[Row], table: Table, roles: Roles, goal: Target) -> list[str]:
    """Sentences about rows of one table that occur twice, or twice with different labels."""
    seen: dict[tuple[str, ...], list[Row]] = {}
    for row in own:
        seen.setdefault(row.key, []).append(row)
    said, same = [], [row.number for group in seen.values() for row in _repeats(group)]
    if same:
        where = named(table, roles.texts, sorted(same))
        said.append(f"{table.name}: {_of(same, 'row')} repeating an earlier one ({where}); kept.")
    differing = [group for group in seen.values() if len({row.label for row in group}) > 1]
    if differing:
        first = differing[0][0]
        second = next(row for row in differing[0] if row.label != first.label)
        labels = [f"{row.label:g}" if goal.regression else repr(goal.labels[int(row.label)]) for row in (first, second)]
        what = "scores" if goal.regression else "labels"
        said.append(
            f"{table.name}: {_of(differing, 'text')} with different {what} ({_place(table, first)} {labels[0]}, "
            f"{_place(table, second)} {labels[1]}); no model can be right about all of them."
        )
    return said


def _place(table: Table, row: Row) -> str:
    return f"line {table.lines[row.number - 1]:,}" if table.lines else f"row {row.number:,}"


def _repeats(group: Sequence[Row]) -> list[Row]:
    """The rows whose label an earlier row of the same text has."""
    labels: set[int | float] = set()
    return [row for row in group if row.label in labels or labels.add(row.label)]


def check_sizes(train: Sequence[Row], evaluation: Sequence[Row], goal: Target, held_out: bool, left_out: str) -> None:
    """Raise `UserError` for too little to learn from or to score on; `left_out` says why there is less than given."""
    why, gathering = f" ({left_out.rstrip('.')})" if left_out else "", Gathering()
    with gathering:
        if len(train) < LEAST_TRAIN:
            raise UserError(
                f"{len(train)} training examples; at least {LEAST_TRAIN} are needed. Add labelled rows{why}"
            )
        counts = Counter(row.label for row in train)
        few = {label: counts[place] for place, label in enumerate(goal.labels) if counts[place] < LEAST_OF_CLASS}
        if few:
            rare = [f"{label!r} ({count})" for label, count in few.items()]
            raise UserError(
                f"classes with fewer than {LEAST_OF_CLASS} training examples: {some(rare, str)}; add rows of them, or "
                f"remove these classes from the data{why}"
            )
    with gathering:
        if len(evaluation) < LEAST_EVALUATION:
            how = "raise held_out, or add labelled rows" if held_out else "add labelled rows to evaluate"
            raise UserError(
                f"{len(evaluation)} evaluation examples; at least {LEAST_EVALUATION} are needed: {how}{why}"
            )
    for own, role in ((train, "training"), (evaluation, "evaluation")) if goal.regression else ():
        with gathering:
            if own and len({row.label for row in own}) == 1:
                raise UserError(
                    f"all {role} scores are {own[0].label:g} (to {DIGITS} decimals), and nothing correlates with a "
                    "constant; give rows with different scores, or name another label (--label)"
                )
    gathering.tell()


def check_apart(train: Sequence[Row], evaluation: Sequence[Row], names: Sequence[str]) -> None:
    """Raise `UserError` where the evaluation holds every text of the training data: nothing would be left to learn."""
    tested = {row.key for row in evaluation}
    if train and all(row.key in tested for row in train):
        raise UserError(
            f"evaluate ({names[1]}) holds every text of train ({names[0]}): what is tuned on a text is not tested by "
            "it. Give other rows to evaluate on (--eval), or none, and a fifth of the training rows is held out"
        )


def about_classes(train: Sequence[Row], evaluation: Sequence[Row], goal: Target) -> list[str]:
    """The sentence about classes that are not evaluated."""
    present = {row.label for row in evaluation}
    absent = [label for place, label in enumerate(goal.labels) if place not in present]
    if not absent:
        return []
    return [f"The evaluation has no row of {some(absent)}: what a model knows of that is not measured."]


def imbalance(train: Sequence[Row], goal: Target) -> str:
    """How uneven the classes are, as the beginning of a sentence; empty where accuracy says enough."""
    counts = Counter(row.label for row in train)
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    commonest, rarest = goal.labels[int(most)], goal.labels[int(least)]  # class ids: a score is in no class
    rare = min(RAREST, 1 / (2 * len(goal.labels)))  # of many classes each is rare
    if many <= COMMONEST * len(train) and few >= rare * len(train):
        return ""
    return (
        f"The classes are uneven: {commonest!r} is {many / len(train):.0%} of the training examples, "
        f"{rarest!r} {few / len(train):.1%}"
    )


def interval(count: int, regression: bool) -> str:
    """How wide the 95 % interval of a score on so many examples is, about."""
    root = count**0.5
    return f"±{196 / root:.0f} points at a correlation of 0" if regression else f"±{98 / root:.0f} points at 50 %"


def width(evaluation: Sequence[Row], goal: Target) -> list[str]:
    """The sentence about how little a small evaluation set can tell."""
    if len(evaluation) >= USUAL_EVALUATION:
        return []
    size = interval(len(evaluation), goal.regression)
    return [
        f"Only {len(evaluation)} evaluation examples: a score's 95 % interval will be about {size}. More of them would "
        "tell more."
    ]


def _of(found: Sequence, noun: str) -> str:
    return f"{len(found):,} {noun}{'' if len(found) == 1 else 's'}"

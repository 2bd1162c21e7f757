"""What the labels of a data set are: classes and their order, or scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beft_lib.errors import UserError, unknown

from .columns import FEW, listing, mostly_numbers
from .lookalikes import canonical, said
from .reading import Table
from .values import COUNTED, decimal_commas, is_simple, missing, number, rows_in_words, some

KINDS = ("classification", "regression")
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Target:
    """What is predicted: the `labels` in the order of their ids, or a score where there are none.

    `ids`: the class that a value's text stands for. `said`: what is worth knowing of the classes' names.
    """

    labels: tuple[str, ...] = ()
    ids: Mapping[str, int] | None = None
    said: tuple[str, ...] = ()

    @property
    def regression(self) -> bool:
        return not self.labels


def target(table: Table, column: str, kind: str | None, labels: Sequence | None) -> Target:
    """What the labels of the training data are. Raises `UserError` where that is not clear, or cannot be learned."""
    present = {
        at: value for at, value in enumerate(table.columns[column], start=1) if is_simple(value) and not missing(value)
    }
    values = list(present.values())
    where = f"column {column!r} of {table.name}"
    if lists := [
        at for at, value in enumerate(table.columns[column], start=1) if isinstance(value, (list, tuple, set))
    ]:
        raise UserError(
            f"{where} holds lists ({rows_in_words(lists)}), as for several labels a text; give one label a row, or "
            f"name another label (--label). {COUNTED} {listing(table)}"
        )
    if not values:
        raise UserError(f"{where} has no labels; name another label (--label). {listing(table)}")
    if kind is None:
        kind = "classification" if labels is not None or column in table.classes else _kind(present, where)
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if kind == "regression":
        if labels is not None:
            raise UserError(f"labels {list(labels)!r} with kind 'regression', which has none; leave one of them out")
        return Target()
    written: dict[str, set[str]] = {}
    for value in values:
        written.setdefault(class_name(value), set()).add(str(value).strip() if isinstance(value, str) else "")
    names = dict.fromkeys(written)
    if len(names) > MOST_CLASSES:
        raise UserError(
            f"{where} has {len(names):,} different values, too many for classes (at most {MOST_CLASSES:,}); name "
            f"another label (--label), or kind='regression' (--kind) if they are scores. {listing(table)}"
        )
    if labels is not None:
        return _given(labels, names, where)
    stated = [class_name(name) for name in table.classes.get(column, ())]
    order = [name for name in stated if name in names] or _sorted(names)
    if len(order) < 2:
        raise UserError(
            f"{where} has one class only, {order[0]!r}: there is nothing to tell apart; add rows of another class, or "
            f"name another label (--label). {listing(table)}"
        )
    forms = {name: {form for form in own if form and canonical(form) != form} | {name} for name, own in written.items()}
    return Target(tuple(order), {name: place for place, name in enumerate(order)}, tuple(said(forms)))


def _kind(values: Mapping[int, object], where: str) -> str:
    """What the labels are, by their rows."""
    if decimal_commas(list(values.values())) is not None:
        raise UserError(
            f"{where} holds numbers with a comma, such as {next(v for v in values.values() if ',' in str(v))!r}, which "
            "may be scores with a decimal comma or several labels; say kind='regression' (--kind) for scores, write "
            "each class as one word, or say kind='classification' if each value is a class"
        )
    read = [number(value) for value in values.values()]
    numbers = [value for value in read if value is not None]
    if len(numbers) < len(read):
        if not mostly_numbers(read):
            return "classification"
        other = {at: value for (at, value), known in zip(values.items(), read) if known is None}
        raise UserError(
            f"{where} holds numbers, but in {rows_in_words(list(other))} it does not: "
            f"{some(list(dict.fromkeys(other.values())))}. Correct them; or, if these are scores, leave them out with "
            "kind='regression', drop_invalid=True (--kind, --drop-invalid); or, if each value is a class, say "
            f"kind='classification'. {COUNTED}"
        )
    if not all(value.is_integer() for value in numbers):
        return "regression"
    if (distinct := len(set(numbers))) > FEW:
        raise UserError(
            f"{where} holds {distinct:,} different whole numbers from {min(numbers):g} to {max(numbers):g}, which may "
            "be classes or scores; say which with kind='classification' or kind='regression' (--kind)"
        )
    return "classification"


def _given(labels: Sequence, names: Mapping[str, None], where: str) -> Target:
    listed = isinstance(labels, Iterable) and not isinstance(labels, (str, Mapping))
    order = tuple(class_name(label) for label in labels) if listed else ()
    if len(order) < 2 or len(set(order)) != len(order) or not all(order):
        raise UserError(f"labels {labels!r} are not the names of two classes or more, each once; list them in order")
    ids = {name: place for place, name in enumerate(order)}
    for named in ([str(place) for place in ids.values()], ["False", "True"]):  # ids or bools, which the labels name
        if not set(names) <= set(ids) and set(names) <= set(named) and len(named) == len(order):
            ids = {name: place for place, name in enumerate(named)}
    if other := [name for name in names if name not in ids]:
        raise UserError(
            f"{where} has the value {some(other)}, which is not among the labels {', '.join(order)}; add it to the "
            f"labels, or correct the rows. The column's values: {some(_sorted(names))}"
        )
    return Target(order, ids)


def class_name(value) -> str:
    """The name of a class: a value's text in its plainest form, `3` for 3.0 and "3.0"."""
    text = canonical(str(value))
    whole, point, rest = text.partition(".")
    return whole if point and rest and not rest.strip("0") and whole.lstrip("+-").isdecimal() else text


def _sorted(names) -> list[str]:
    """By number if all are numbers, else by text."""
    numbers = {name: number(name) for name in names}
    return sorted(names) if None in numbers.values() else sorted(names, key=lambda name: (numbers[name], name))

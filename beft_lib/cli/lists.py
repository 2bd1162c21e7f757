"""What there is to choose from, a line each: `beft list tasks|methods|models|architectures|claims`."""

from collections.abc import Callable, Iterable

from beft_lib import models, tasks
from beft_lib.models import catalogue
from beft_lib.tuning.methods import METHODS


def of_tasks() -> Iterable[tuple[str, ...]]:
    """Name, what it is, by which metrics, from where, with how many examples of each data regime."""
    for name in tasks.names():
        task = tasks.get(name)
        origin = "bundled" if task.bundled else "hub, local:DIR" if task.hub else "local:DIR"
        regimes = " ".join(f"{regime} {count}" for regime, count in task.n if count is not None)
        yield name, task.kind, ", ".join(task.metrics), origin, regimes


def of_methods() -> Iterable[tuple[str, ...]]:
    """Name, title, of which models, what it trains."""
    for method in METHODS.values():
        yield method.name, method.title, method.models, method.trains


def of_models() -> Iterable[tuple[str, ...]]:
    """Name, title, architecture, which weights."""
    for name in models.CATALOGUE:
        yield name, models.title(name), catalogue.family(name), models.version(name)


def of_architectures() -> Iterable[tuple[str, ...]]:
    """Its `model_type`, encoder or decoder, what is known of b_k, and where its projections are."""
    for known in models.ARCHITECTURES.values():
        live = "b_k is inert" if known.key_is_inert else "b_k is live"
        found = known.layout is not None
        yield (
            known.model_type,
            "decoder" if known.decoder else "encoder",
            live if found else "",
            str(known.layout) if found else "not located: register_layout",
        )


def of_claims() -> Iterable[tuple[str, ...]]:
    """By question: id and section, the sentence, what decides it, what the paper prints; several lines a claim.

    Slower than the others: what judges a claim needs pandas and scipy.
    """
    from beft_lib.chapters import ledger

    for question, own in ledger.listing(ledger.CLAIMS).groupby("question", sort=False):
        yield (str(question),)
        for row in own.itertuples(index=False):
            yield (f"  {row.id} ({row.section})",)
            yield (f"    {row.claim}",)
            yield (f"    decided by: {row[5]}",)
            if row.paper:
                yield (f"    the paper: {row.paper}",)


LISTS: dict[str, Callable[[], Iterable[tuple[str, ...]]]] = {
    "tasks": of_tasks,
    "methods": of_methods,
    "models": of_models,
    "architectures": of_architectures,
    "claims": of_claims,
}


def text(kind: str) -> str:
    """The list as aligned columns."""
    rows = list(LISTS[kind]())
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)

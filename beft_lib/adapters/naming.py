"""The names of classes in a model's configuration, which pipelines and servers print: those of the adapter in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from beft_lib.errors import UserError

Names = tuple[Mapping[int, str], Mapping[str, int]]  # id2label and label2id


class Before(dict[str, Tensor]):
    """What biases and parameters were, by key, as `unmerge` takes it; and how the model named its classes."""

    names: Names | None = None


def names_of(model: nn.Module) -> Names | None:
    """How the model's configuration names its classes; None where it has none."""
    config: Any = model.config
    names = getattr(config, "id2label", None)
    return None if not names else (dict(names), dict(getattr(config, "label2id", None) or {}))


def set_names(model: nn.Module, names: Names | None) -> None:
    """Put back what `names_of` returned."""
    if names is not None:
        config: Any = model.config
        config.id2label, config.label2id = dict(names[0]), dict(names[1])


def name_classes(model: nn.Module, labels: Sequence[str], own_head: bool = False) -> None:
    """Let the model's configuration name its classes by these labels, in this order; without labels it stays.

    `own_head`: the model keeps its own head, whose names stay; `UserError` where it has the same classes in another
    order, because each would be taken for another.
    """
    if not labels or (found := names_of(model)) is None:
        return
    ours = [str(found[0][place]) for place in sorted(found[0])]
    if own_head:
        if sorted(ours) == sorted(labels) and ours != list(labels):
            raise UserError(
                f"the adapter's classes are {', '.join(labels)}, and {type(model).__name__}, whose head stays, names "
                f"them in another order, {', '.join(ours)}: each would be taken for another. Give an adapter with its "
                "head, or correct id2label in the model's config.json"
            )
        return
    set_names(model, (dict(enumerate(labels)), {label: place for place, label in enumerate(labels)}))

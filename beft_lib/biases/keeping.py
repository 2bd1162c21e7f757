"""Whether `save_pretrained` and `from_pretrained` give a model's added biases back, and how to make them.

A bias that was added lives in the model's state, but a class makes only the modules that its configuration asks for: on
reload what it has no place for is dropped. Where a switch of the configuration makes room, it is set, and the biases
that go with it are added as zeros, which change no output.
"""

import copy
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from beft_lib.biases.handles import Bias
from beft_lib.biases.layouts import locate

SWITCH = "attention_bias"  # of a configuration: whether the projections of attention have biases


def keep(model: nn.Module, handles: Iterable[Bias]) -> None:
    """Make the model's class keep these biases, which were added; warn where it cannot.

    A model that no configuration rebuilds, as one of a class of the user's own, is warned of too.
    """
    wanted = {handle.name for handle in handles}
    if not wanted:
        return
    config: Any = locate(model).module.config
    lost = sorted(wanted - _names(model))
    if lost and getattr(config, SWITCH, None) is False:
        setattr(config, SWITCH, True)
        rebuilt = _names(model)
        if wanted <= rebuilt:
            _fill(model, rebuilt)
            return
        setattr(config, SWITCH, False)
    if lost:
        warnings.warn(
            f"{type(model).__name__} has no place for {lost[0]} in its configuration: save_pretrained and a Trainer's "
            "checkpoint would write it, and from_pretrained would drop it without an error. Keep the tuned bias with "
            "adapters.save, and load, merge or attach it to the base model again",
            UserWarning,
            stacklevel=4,
        )


def _names(model: Any) -> set[str]:
    """The names of the parameters of a model that its class makes of its configuration, without weights."""
    try:
        with torch.device("meta"):
            made = type(model)(copy.deepcopy(model.config))
    except Exception:  # a class of the user's own may need more than a configuration
        return set()
    return {name for name, _ in made.named_parameters()}


def _fill(model: nn.Module, names: Iterable[str]) -> None:
    """Add as zeros, which do not train, the biases of these names that the model lacks."""
    own = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name in names:
        path, _, last = name.rpartition(".")
        if name not in own and last == "bias":
            module: Any = model.get_submodule(path)
            module.bias = nn.Parameter(module.weight.new_zeros(module.weight.shape[0]), requires_grad=False)

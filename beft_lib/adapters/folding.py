"""b_v moved into the bias of the output projection, where it is the same function.

Attention weights sum to 1, so that b_v adds the one vector W_o b_v to an attention's output, and b_o adds another (see
`biases`). This holds in evaluation mode only: dropout of attention weights breaks their sum.
"""

from torch import Tensor, nn

from beft_lib import biases
from beft_lib.adapters.adapter import Adapter, check_base
from beft_lib.adapters.arithmetic import Delta, kept
from beft_lib.adapters.naming import Before
from beft_lib.errors import UserError
from beft_lib.tuning.head import head_biases


def folded(model: nn.Module, delta: Delta) -> dict[str, Tensor]:
    """The delta of b_o that does what a delta of b_v does: δ_o = W_o δ_v (d,), layer by layer, in fp64.

    Where queries are grouped, each head's part of δ_v counts for all queries of its group. The model stays as it is.
    Raises `UserError` for an entry that is no value bias of the model or has another size, and for an architecture
    whose `Layout` does not name the output projection.
    """
    outputs = {bias.key: output for bias, output in zip(biases.term_biases(model, "value"), biases.outputs(model))}
    if other := [key for key in delta if key not in outputs]:
        raise UserError(
            f"folded: {other[0]!r} is no value bias of {type(model).__name__}, and only b_v can be folded; its value "
            f"biases: {', '.join(outputs)}"
        )
    found = {}
    for key, values in delta.items():
        output = outputs[key]
        if values.shape != output.weight.shape[1:]:
            raise UserError(
                f"folded: bias {key} has {output.weight.shape[1]} scalars in {type(model).__name__}, the delta "
                f"{tuple(values.shape)}: it was tuned on another model"
            )
        weight = output.weight.double()
        found[output.bias.key] = weight @ values.double().to(weight.device)
    return found


def fold(model: nn.Module, what: Delta | Adapter | None = None) -> Before:
    """Put a tuned b_v into the model's b_o, or with None move the model's own b_v there; return what `unmerge` takes.

    An output projection without a bias gets one, and no value projection needs to have one: the model that results runs
    where nothing knows of b_v. As in `merge`, a warning says where the class has no place for the bias of the output,
    which `save_pretrained` would then lose. Of an `Adapter` the head and the names of its classes are written too. None
    leaves b_v zero. The logits are those of `merge` up to rounding, in evaluation mode; in training mode dropout of
    attention weights makes them differ.

    Raises `UserError` for a delta of anything but b_v, and with None where the model has no b_v.
    """
    model = biases.unwrapped(model)
    if what is None:
        values = biases.snapshot(bias for bias in biases.term_biases(model, "value") if not bias.missing)
        if not values:
            raise UserError(f"fold: {type(model).__name__} has no value bias to move; give a delta of b_v, or nothing")
        return kept(model, {key: -value.double() for key, value in values.items()} | folded(model, values))
    if isinstance(what, Adapter):
        of_the_head = {bias.key for bias in head_biases(model)}
        beside = {key: values for key, values in what.delta.items() if key in of_the_head}
        tuned = {key: values for key, values in what.delta.items() if key not in of_the_head}
        check_base(model, what.base, unchanged=False)
        return kept(model, folded(model, tuned) | beside, what.head, what.labels)
    return kept(model, folded(model, what))

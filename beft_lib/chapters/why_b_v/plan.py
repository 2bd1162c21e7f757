"""Beyond the paper: what of b_v carries its gain, whether b_o does the same, and what precision does to a ranking."""

from collections.abc import Sequence
from dataclasses import dataclass

from beft_lib import models
from beft_lib.chapters.plans import Shared, check_seeds
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group

# Precision and AdamW's eps of the study that shows how they change a ranking; the first is the one that rankings use.
PRECISIONS = (("fp32", 1e-6), ("fp32", 1e-8), ("bf16", 1e-6), ("bf16", 1e-8))

TUNED = ("value", "output", "query", "all_biases", "head_only")
UNTUNED, DIRECTION = "its b_v put back", "one direction"  # arms that keep nothing of the tuned b_v, or one direction


def only_in(layers: Sequence[int]) -> str:
    """The arm whose b_v was tuned in these layers alone; layers are counted from 1 for readers."""
    return f"b_v, {_named(layers)} alone"


def kept_of(layer: int) -> str:
    """The arm that keeps one layer's part of a tuned b_v."""
    return f"layer {layer + 1} of it"


def _named(layers: Sequence[int]) -> str:
    if len(layers) == 1:
        return f"layer {layers[0] + 1}"
    if list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"layers {layers[0] + 1}–{layers[-1] + 1}"
    return "layers " + ", ".join(str(layer + 1) for layer in layers)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of the notebook."""

    tuned: tuple[RunSpec, ...]  # b_v, b_o, b_q, all biases (for their scores) and the head alone
    parts: dict[RunSpec, str]  # b_v tuned in some layers alone, by arm
    kept: dict[RunSpec, str]  # tuned b_v of which a part is put into the model, by arm
    ranked: tuple[RunSpec, ...]  # all biases of every model whose scores are held against its pre-trained norms
    precision: tuple[RunSpec, ...]  # all biases again, under other precisions
    probed: tuple[str, ...]  # models that are measured as they come

    @property
    def groups(self) -> list[Group]:
        return [Group([*self.tuned, *self.parts, *self.kept], arms=self.parts | self.kept)]

    @property
    def specs(self) -> list[RunSpec]:
        return list(dict.fromkeys([*self.tuned, *self.parts, *self.kept, *self.ranked, *self.precision]))


def plan(
    *,
    model: str,
    task: str,
    source: str,
    parts: Sequence[Sequence[int]],
    n_train: int | None = None,
    n_eval: int | None = None,
    seeds: Sequence[int] = (0,),
    learning_rate: float | None = None,
    epochs: int | None = None,
    ranked_models: Sequence[str] = (),
    ranked_epochs: int | None = None,
    ranked_regime: str | None = None,
    precision_study: bool = True,
    decoders: Sequence[str] = (),
) -> Plan:
    """From the notebook's parameters to its runs.

    `parts`: which layers, from 0, b_v is tuned in alone, such as the lower, middle and upper third. Together they are
    the layers of which each is kept alone of the tuned b_v. `ranked_models`: further models whose scores are held
    against their pre-trained norms; `ranked_epochs` and `ranked_regime`: theirs, where they are not `epochs` and
    `n_train`. `decoders`: models that the
    identities are shown on besides, without a run.
    """
    check_seeds(seeds)
    _check_decoders(decoders)
    _check_parts(parts)
    shared = Shared(
        model=model,
        source=source,
        learning_rates={task: learning_rate},
        epochs={task: epochs},
        n_train={task: n_train},
        n_eval={task: n_eval},
    )
    ranked_models = list(dict.fromkeys([model, *ranked_models]))
    further = {"epochs": ranked_epochs} if ranked_epochs else {}
    further |= {"regime": ranked_regime, "n_train": None} if ranked_regime else {}
    return Plan(
        tuned=tuple(shared.spec(task, method, seed=seed) for method in TUNED for seed in seeds),
        parts={
            shared.spec(task, "value", seed=seed, layers=tuple(part)): only_in(part) for part in parts for seed in seeds
        },
        kept=_kept(shared, task, seeds, [layer for part in parts for layer in part]),
        ranked=tuple(
            shared.spec(task, "all_biases", seed=seed, model=name, **({} if name == model else further))
            for name in ranked_models
            for seed in seeds
        ),
        precision=tuple(
            shared.spec(task, "all_biases", seed=seeds[0], precision=p, eps=eps, ranking=(p, eps) == PRECISIONS[0])
            for p, eps in (PRECISIONS if precision_study else ())
        ),
        probed=tuple(dict.fromkeys([model, *decoders, *ranked_models])),
    )


def _kept(shared: Shared, task: str, seeds: Sequence[int], layers: Sequence[int]) -> dict[RunSpec, str]:
    """Merged runs that put a part of each seed's tuned b_v into the model, with the head it was tuned with."""

    def keep(seed: int, weight: float = 1.0, **more) -> RunSpec:
        run = shared.spec(task, "value", seed=seed).run_id
        return shared.spec(task, "merged", seed=seed, parts=((run, weight),), head_of=(run,), **more)

    kept = {keep(seed, weight=0.0): UNTUNED for seed in seeds}
    kept |= {keep(seed, layers=(layer,)): kept_of(layer) for layer in layers for seed in seeds}
    return kept | {keep(seed, rank=1): DIRECTION for seed in seeds}


def _check_decoders(decoders: Sequence[str]) -> None:
    """Raise `UserError` for a model that is known to be an encoder."""
    for name in decoders:
        if models.is_decoder(name) is False:
            known = ", ".join(other for other in models.CATALOGUE if models.is_decoder(other))
            raise UserError(f"decoders: {name!r} is an encoder; valid: {known}, 'hub:ORG/NAME' or a folder")


def _check_parts(parts: Sequence[Sequence[int]]) -> None:
    """Raise `UserError` unless parts are groups of layers, each layer once, from the lowest to the highest."""
    layers = [layer for part in parts for layer in part]
    if not layers or not all(parts) or layers != sorted(set(layers)):
        raise UserError(
            f"parts: {parts}; give groups of layers from the lowest to the highest, such as [[0, 1], [2, 3]]"
        )

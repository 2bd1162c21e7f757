"""What one experiment is: everything that decides its numbers, and the name that follows from it."""

import hashlib
import json
import sys
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from beft_lib import models, tasks
from beft_lib.errors import UserError, unknown
from beft_lib.runs import published
from beft_lib.tuning import methods

# Goes into every run's id. Raise it when a change of the code changes results, so that no stale run is reused.
# 2: every model goes through transformers' forward pass. It can still be asked for, as published records may be of it.
# 3: encoders go through `tuning.encoder_pass`; the vocabulary head of decoders reads one piece.
RECIPE_VERSION = 3
ENCODER_PASS = 3  # the recipe that it came with
ONE_PASS = 2  # the recipe by which every method has the same pass, prefix tuning too: for comparing costs

# What a run must keep to for its biases to be ranked. Under a smaller eps, or bf16, AdamW turns the rounding noise of a
# bias without a gradient into steps as large as everybody's; weight decay moves biases that the task does not.
RANKING_RECIPE = {"precision": "fp32", "eps": 1e-6, "weight_decay": 0.0}

SHARES = (0.01, 0.02, 0.05, 0.10, 0.25, 0.50, 1.0)  # of a ranking run's steps, at which its scores are recorded

# The authors' settings of decoders, where they differ from those of encoders (which are the fields' defaults).
PROMPT_DEFAULTS = {"batch_size": 8, "schedule": "linear", "n_eval": 1000}
IN_CONTEXT_DEFAULTS = {"shots": 32, "demonstrations": "fresh"}

FULL_TUNING_RATE = 1e-5  # the paper's learning rate when every parameter trains
REGIMES = (*tasks.REGIMES, "custom")


class RunSpec(BaseModel):
    """One experiment: a model, a task, what is tuned, and how. Frozen; what is unknown or impossible is refused.

    What is left out is filled in from the task: the paper's learning rate and epochs, the n of the regime, and the
    identities of the data and of the weights. `RunSpec(model="minilm-l6", task="sst2", source="hub", method="value")`
    is the paper's low-data setting. Where published records stand in for the run store, source, identities and recipe
    are theirs. Raises `UserError`, which names the field, the value and the valid values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    model: str
    task: str
    source: str  # hub | bundled | local:DIR
    method: str
    regime: Literal["low", "medium", "high", "all", "custom"] = "low"
    n_train: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    learning_rate: float = Field(gt=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(default=16, ge=1)
    max_length: int = Field(ge=4)
    schedule: Literal["constant", "linear"] = "constant"
    eps: float = Field(default=1e-6, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    ranking: bool = False  # its biases are compared before and after: held to RANKING_RECIPE
    evaluation: Literal["validation", "development"] = "validation"  # development: held out of the train split
    steps: int | None = Field(default=None, ge=1)  # stop after so many optimizer steps, in the middle of the run
    n_eval: int | None = Field(default=None, ge=2)  # evaluate on so many examples at most, the same ones in every run
    each_epoch: bool = False  # evaluate after every epoch as well
    head: Literal["bias"] | None = None  # train less of a head with a hidden layer (see `methods.head`)
    parts: tuple[tuple[str, float], ...] | None = None  # of a merged run: runs, and the weights of their tuned biases
    head_of: tuple[str, ...] | None = None  # of a merged run: the runs whose heads are averaged; none: a fresh head
    layers: tuple[int, ...] | None = None  # tune biases in these layers only; of a merged run: put in those of these
    rank: int | None = Field(default=None, ge=1)  # of a merged run of b_v: W_o δ, a row a layer, is cut to this rank
    fisher_along: bool | None = None  # of a ranking run: Fisher at the SHARES of its steps too
    shots: int | None = Field(default=None, ge=1)  # of in-context learning: solved examples before each prompt,
    demonstrations: Literal["fixed", "fresh"] | None = None  # the same ones for all, or drawn anew for each
    micro_batch: int | None = Field(default=None, ge=1)  # examples in one pass; their gradients add up to a batch's
    data: str  # identity of the data
    weights: str  # identity of the pre-trained weights
    recipe: Literal[2, 3] = RECIPE_VERSION

    def __init__(self, **fields: Any):
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise UserError(_explain(error)) from None
        given = {name for name, value in fields.items() if value is not None}
        object.__setattr__(self, "__pydantic_fields_set__", given)  # without those that `_fill` filled in

    def but(self, **changes: Any) -> "RunSpec":
        """The same experiment but for these fields: what was filled in for this one is filled in anew.

        `spec.but(method="full")` has full tuning's learning rate, unless the spec was given one. What was given stays
        (`model_fields_set`), a field that is set to None is filled in. Raises `UserError` as the constructor does.
        """
        return RunSpec(**{name: getattr(self, name) for name in self.model_fields_set} | changes)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, fields: dict[str, Any]) -> dict[str, Any]:
        for name in ("model", "task", "source", "method"):
            if not isinstance(fields.get(name), str):
                return fields  # the field's own check explains it
        fields = {name: value for name, value in fields.items() if value is not None}
        if fields.get("fisher_along") is False:
            del fields["fisher_along"]  # as if it were left out, so that it names the same run
        method, task = methods.check(fields["method"]), tasks.get(fields["task"])
        if known := published.published():
            fields["source"] = known.source
            fields |= {"data": known.data(task.name).version, "weights": known.weights(fields["model"])}
            fields.setdefault("recipe", known.recipe_of(fields["model"]))
        else:
            tasks.parse_source(fields["source"])
        regime = fields.setdefault("regime", "custom" if "n_train" in fields else "low")
        if regime not in REGIMES:
            raise unknown("regime", regime, REGIMES)
        if "n_train" not in fields:
            if regime == "custom":
                raise UserError("regime 'custom' needs n_train; give it, or a regime of " + ", ".join(REGIMES[:-1]))
            available = sys.maxsize
            if regime == "all":
                if known:
                    available = known.data(task.name).train
                elif fields["source"] == "hub" and task.hub and task.hub.train is not None:
                    available = task.hub.train
                else:
                    available = tasks.sizes(task, fields["source"])[task.train]
            fields["n_train"] = task.n_train(regime, available)
        if task.prompts:
            fields = PROMPT_DEFAULTS | fields
            if method == "in_context":
                fields = IN_CONTEXT_DEFAULTS | fields
        fields.setdefault("learning_rate", usual_rate(method, task))
        fields.setdefault("epochs", task.epochs.base)
        fields.setdefault("max_length", task.max_length)
        if "data" not in fields:
            fields["data"] = tasks.version(task, fields["source"])
        if "weights" not in fields:
            fields["weights"] = models.version(fields["model"])
        return fields

    @model_validator(mode="after")
    def _possible(self):
        self._check_form()
        if self.ranking:
            for field, required in RANKING_RECIPE.items():
                if (value := getattr(self, field)) != required:
                    raise UserError(
                        f"{field}: {value!r} cannot feed a ranking, which needs {field} {required!r}: other "
                        "settings let AdamW amplify the rounding noise of a bias that has no gradient. "
                        f"Set {field} to {required!r}, or use the run for scores only"
                    )
        if self.fisher_along and not self.ranking:
            raise UserError("fisher_along: True needs a ranking run; set ranking to True")
        merged = self.method == "merged"
        if merged != (self.parts is not None) or (self.head_of is not None and not merged):
            raise UserError(
                f"method {self.method!r}: a merged run needs parts (run ids and weights), and only it has parts and "
                "head_of; give the method 'merged' and its parts, or neither"
            )
        self._check_layers()
        if self.head is not None and self.method in ("full", "none", "merged"):
            raise UserError(
                f"head {self.head!r}: method {self.method!r} does not choose what of a head trains; leave it out"
            )
        if self.evaluation == "development" and self.n_eval is None:
            raise UserError("evaluation 'development' needs n_eval: how many training examples are held out for it")
        if self.steps is not None and self.steps > self.total_steps:
            raise UserError(
                f"steps: {self.steps} is more than the run's {self.total_steps}; give fewer, or leave it out"
            )
        return self

    def _check_layers(self) -> None:
        """Raise `UserError` where only a part of the biases is asked for, and cannot be."""
        tunes = methods.tunes_one_term(self.method)
        if self.layers is not None and not (tunes or self.method == "merged"):
            raise UserError(
                f"layers: {list(self.layers)} with method {self.method!r}; only one bias term, or a merged run, can be "
                "of some layers; leave layers out"
            )
        if self.layers is not None and (
            not self.layers or list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 0
        ):
            raise UserError(f"layers: {list(self.layers)}; give layers from 0, each once and in order, e.g. [0, 1]")
        if self.rank is not None and self.method != "merged":
            raise UserError(f"rank: {self.rank} with method {self.method!r}; only a merged run has one; leave it out")

    def _check_form(self) -> None:
        """Raise `UserError` where model, task and method are not of one form: a head on an encoder, or prompts."""
        prompts = tasks.get(self.task).prompts
        methods.check_for(self.method, prompts)
        if models.is_decoder(self.model) not in (None, prompts):
            wants = "a decoder that answers prompts" if prompts else "an encoder, on which it trains a head"
            names = [name for name in tasks.names() if tasks.get(name).prompts != prompts]
            raise UserError(
                f"task {self.task!r} needs {wants}, and {self.model!r} is not one; tasks for this model: "
                f"{', '.join(names)}"
            )
        if [self.shots is not None, self.demonstrations is not None] != [self.method == "in_context"] * 2:
            raise UserError(
                f"shots {self.shots} and demonstrations {self.demonstrations!r} belong to the method in_context, which "
                f"needs both, and not to {self.method}"
            )
        if prompts and (self.head is not None or self.fisher_along):
            raise UserError(
                f"task {self.task!r} has prompts: head and fisher_along are of models with a head; leave them out"
            )

    @cached_property
    def run_id(self) -> str:
        """The first 16 hex digits of the sha256 of `portable`."""
        return hashlib.sha256(json.dumps(self.portable, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def portable(self) -> dict[str, Any]:
        """The spec as it is stored and named: what is None does not count, nor does where a local data folder lies."""
        return self.model_dump(mode="json", exclude_none=True) | {"source": self.source.partition(":")[0]}

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run; `steps`, if given, are the first of them."""
        return self.epochs * -(-self.n_train // self.batch_size)

    def check_size(self, available: int) -> None:
        """Raise `UserError` if the source has fewer training examples than the run asks for."""
        held_out = self.n_eval or 0 if self.evaluation == "development" else 0
        if self.n_train + held_out > available:
            beside = f" beside the {held_out} held out for development" if held_out else ""
            raise UserError(
                f"n_train {self.n_train} is more than the {available} training examples of task {self.task!r} "
                f"from {self.source}{beside}; give at most {available - held_out}"
                + ("" if held_out else ", or regime 'all'")
            )

    @property
    def _usual_rate(self) -> float:
        return usual_rate(self.method, tasks.get(self.task))

    def __str__(self) -> str:
        extra = "" if (self.precision, self.eps) == ("fp32", 1e-6) else f" {self.precision} eps {self.eps:g}"
        if self.evaluation == "development":
            extra += f" development lr {self.learning_rate:g}"
        elif self.learning_rate != self._usual_rate:
            extra += f" lr {self.learning_rate:g}"
        if self.shots is not None:
            extra += f" {self.shots} shots, {self.demonstrations}"
        if self.layers is not None:
            extra += " layers " + ", ".join(map(str, self.layers))
        if self.rank is not None:
            extra += f" rank {self.rank}"
        if self.parts is not None:
            extra += " " + " + ".join(f"{weight:g}·{run[:6]}" for run, weight in self.parts)
        return f"{self.model} {self.task} n={self.n_train} {self.method} seed {self.seed}{extra}"


def usual_rate(method: str, task: tasks.Task | tasks.PromptTask) -> float:
    """The paper's learning rate: the task's for every method but full tuning."""
    return FULL_TUNING_RATE if method == "full" else task.learning_rate


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        field = ".".join(map(str, item["loc"])) or "run"
        if isinstance(cause := item.get("ctx", {}).get("error"), UserError):
            lines.append(str(cause))
        elif item["type"] == "extra_forbidden":
            lines.append(str(unknown("field of a run", field, RunSpec.model_fields)))
        else:
            lines.append(f"{field}: {item['input']!r}: {item['msg']}")
    return "; ".join(lines)

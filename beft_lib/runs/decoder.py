"""A decoder on a task with prompts: how a run loads, trains and evaluates it (paper §3.5)."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from beft_lib import importance, models, tasks
from beft_lib.biases import Bias
from beft_lib.errors import UserError
from beft_lib.runs import examples, scores
from beft_lib.runs.result import Value
from beft_lib.runs.spec import ENCODER_PASS, RunSpec
from beft_lib.tasks import metrics
from beft_lib.tuning import encoder_pass, option_scores, peft_methods, prompt_tokens
from beft_lib.tuning.prompt_tokens import Choices, Contexts, Demonstrations

LOSSES = {"options": option_scores.option_loss, "answer": option_scores.answer_loss}


class DecoderRun:
    """An `experiment.Experiment`: the decoder as it comes, and prompts with what may follow them as token ids.

    An example's points are its part of a metric: 1 or 0 for a right or wrong option.
    """

    def __init__(self, *, spec: RunSpec, task: tasks.PromptTask, pool: tasks.Prompts, train: tasks.Prompts):
        self.spec, self.task, self._pool = spec, task, pool
        self.loss = LOSSES[task.objective]
        self._tokenizer = models.tokenizer(spec.model)
        # Weights that train are kept in fp32 whatever the precision, so they are not rounded first.
        self.model = models.causal(spec.model, "fp32" if spec.method == "full" else spec.precision)
        if spec.recipe >= ENCODER_PASS:
            option_scores.read_contiguously(self.model)
        places = getattr(self.model.config, "max_position_embeddings", None) or spec.max_length
        virtual = peft_methods.PREFIX_TOKENS if spec.method == "prefix" else 0
        self._longest = min(spec.max_length, places - virtual)
        self.data = prompt_tokens.choices(self._tokenizer, train, self._longest)
        self._shown = None
        if spec.method == "in_context":
            shots = spec.shots or 0
            if shots > len(train):
                raise UserError(
                    f"shots: {shots} of {len(train)} training examples; give at most as many, or more n_train"
                )
            fixed = spec.demonstrations == "fixed"
            self._shown = Demonstrations(train, shots, task.separator, fixed, spec.seed)
        self._written: dict[str, list[str]] = {}

    @cached_property
    def _held_out(self) -> Mapping[str, tuple[tasks.Prompts, Choices | Contexts]]:
        sets, made = examples.evaluation_sets(self.task, self._pool, self.spec), {}
        for split, own in sets.items():
            if self.task.kind == "options":
                made[split] = own, prompt_tokens.choices(self._tokenizer, own, self._longest, self._shown)
            else:
                longest = self._longest - option_scores.NEW_TOKENS
                made[split] = own, prompt_tokens.contexts(self._tokenizer, own, longest, self._shown)
        return made

    @property
    def facts(self) -> dict[str, Any]:
        """What a result says of the examples: counts, the rendered texts' hashes, what was cut or dropped to fit."""
        facts: dict[str, Any] = {"truncated": self.data.truncated, "prompts": {self.task.train: self.data.digest}}
        for split, (own, encoded) in self._held_out.items():
            facts |= {split: len(own), f"{split}_truncated": encoded.truncated}
            facts["prompts"][split] = encoded.digest
            if self._shown is not None:
                dropped = np.array(encoded.dropped)
                facts |= {f"{split}_dropped": int(dropped.sum()), f"{split}_shortened": int((dropped > 0).sum())}
        return facts

    def pass_of(self, model: nn.Module) -> str:
        """A decoder goes through transformers' forward pass."""
        return encoder_pass.TRANSFORMERS

    def fisher(self, model: nn.Module, handles: list[Bias]) -> list[importance.Score]:
        """None: Fisher is of a classifier. A ranking of a decoder rests on the change of its biases."""
        return []

    def evaluate(self, model: nn.Module) -> tuple[list[Value], dict[str, np.ndarray]]:
        """The task's metrics on every split; and by name in `predictions.npz` the points (n, metrics) of every example,
        and its options' scores (n, c), nan where it has fewer."""
        values, arrays = [], {}
        for split, (own, encoded) in self._held_out.items():
            if isinstance(encoded, Choices):
                of_options = option_scores.option_scores(model, encoded, self.spec.precision)
                arrays[f"{split}/scores"] = _ragged(of_options)
                predicted, right = scores.chosen(of_options, own.right)
                points = np.equal(predicted, right).astype(float)[:, None]
            else:
                predicted = option_scores.answers(model, self._tokenizer, encoded, self.spec.precision)
                self._written[split], right = predicted, [list(references) for references in own.answers]
                points = np.array(
                    [
                        [metrics.answers.points(metric, text, references) for metric in self.task.metrics]
                        for text, references in zip(predicted, right)
                    ]
                )
            values += [
                scores.value(
                    metric=metric,
                    split=split,
                    predictions=predicted,
                    references=right,
                    stderr=metrics.standard_error_of_points(points[:, place]),
                )
                for place, metric in enumerate(self.task.metrics)
            ]
            arrays |= {f"{split}/points": points.astype(np.float32), f"{split}/labels": own.labels}
            arrays[f"{split}/ids"] = np.array(own.ids)
        return values, arrays

    def files(self) -> dict[str, bytes]:
        """What else is kept of the last evaluation: the generated texts, which are not published (they quote data)."""
        if not self._written:
            return {}
        return {"answers.json": json.dumps(self._written, indent=1, ensure_ascii=False).encode()}


def _ragged(rows: list[np.ndarray]) -> np.ndarray:
    """(n, longest) float32, nan where a row is shorter."""
    table = np.full((len(rows), max(map(len, rows))), np.nan, dtype=np.float32)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table

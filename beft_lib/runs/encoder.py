"""An encoder with a fresh head on a task of classes or scores: how a run loads, trains and evaluates it."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
from torch import nn

from beft_lib import importance, models, tasks
from beft_lib.biases import Bias
from beft_lib.models import limits
from beft_lib.runs import examples, scores
from beft_lib.runs.result import Value
from beft_lib.runs.spec import ENCODER_PASS, RunSpec
from beft_lib.tasks import metrics
from beft_lib.tuning import batches, encoder_pass, loop

FISHER_BATCH = 8  # the authors' batch size for Fisher; the exact score does not depend on it


class EncoderRun:
    """An `experiment.Experiment`: the encoder as it comes, with the seed's head, and the texts as token ids."""

    def __init__(self, *, spec: RunSpec, task: tasks.Task, pool: tasks.Examples, train: tasks.Examples):
        self.spec, self.task, self._pool = spec, task, pool
        self._tokenizer = models.tokenizer(spec.model)
        self.data = batches.encode(self._tokenizer, train, spec.max_length)
        self.model = models.classifier(spec.model, task.num_labels, spec.seed)
        limits.check(self.model, self.data.ids, f"model {spec.model!r}")
        self._logits = encoder_pass.logits if spec.recipe >= ENCODER_PASS else loop.own_logits
        self.loss = partial(loop.head_loss, logits=self._logits)

    @cached_property
    def _held_out(self) -> Mapping[str, tuple[tasks.Examples, batches.Encoded]]:
        sets = examples.evaluation_sets(self.task, self._pool, self.spec)
        made = {s: (own, batches.encode(self._tokenizer, own, self.spec.max_length)) for s, own in sets.items()}
        for _, encoded in made.values():
            limits.check(self.model, encoded.ids, f"model {self.spec.model!r}")
        return made

    @property
    def facts(self) -> dict[str, Any]:
        """What a result says of the examples: how many there are, and how many were cut."""
        facts = {"truncated": self.data.truncated}
        for split, (held_out, encoded) in self._held_out.items():
            facts |= {split: len(held_out), f"{split}_truncated": encoded.truncated}
        return facts

    def pass_of(self, model: nn.Module) -> str:
        """The encoder pass, by recipe 3 and for the models that it is for; else transformers' own."""
        return encoder_pass.name(model) if self.spec.recipe >= ENCODER_PASS else encoder_pass.TRANSFORMERS

    def fisher(self, model: nn.Module, handles: list[Bias]) -> list[importance.Score]:
        """Fisher scores over the run's training examples: exact, and the authors' batch-mean variant."""
        where = loop.device()
        model.to(where)
        rows = batches.shuffled(self.data.lengths, FISHER_BATCH, np.random.default_rng(0))
        forward = encoder_pass.logits if self.spec.recipe >= ENCODER_PASS else importance.observed
        exact, of_batches = importance.fishers(
            model, (batches.collate(self.data, own, where) for own in rows), handles, forward=forward
        )
        return exact + of_batches

    def evaluate(self, model: nn.Module) -> tuple[list[Value], dict[str, np.ndarray]]:
        """The task's metrics on every split, and what was predicted, by name in `predictions.npz`."""
        values, arrays = [], {}
        for split, (held_out, encoded) in self._held_out.items():
            labels = held_out.labels
            logits = loop.predict(model, encoded, self.spec.precision, self._logits)
            predicted = logits.squeeze(-1) if self.task.regression else logits.argmax(-1)
            values += [
                scores.value(
                    metric=metric,
                    split=split,
                    predictions=predicted,
                    references=labels,
                    stderr=metrics.standard_error(metric, predicted, labels),
                )
                for metric in self.task.metrics
            ]
            ids = np.array(held_out.ids)
            arrays |= {f"{split}/logits": logits, f"{split}/labels": labels, f"{split}/ids": ids}
        return values, arrays

    def files(self) -> dict[str, bytes]:
        """What else is kept of the last evaluation: nothing."""
        return {}

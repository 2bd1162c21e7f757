"""New texts named by a tuned model: its classes by name with their probabilities, its scores, or a decoder's words."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from beft_lib import models
from beft_lib.adapters import own_format, use
from beft_lib.adapters.adapter import Adapter, Base
from beft_lib.adapters.attached import attach
from beft_lib.adapters.loading import load, stock_base
from beft_lib.adapters.peft_format import WEIGHTS, adapter_config, read_notes, read_tensors
from beft_lib.adapters.use import Use
from beft_lib.errors import UserError
from beft_lib.tasks import Examples, Prompts, PromptTask, Task
from beft_lib.tuning import batches, loop, option_scores, prompt_tokens

BATCH = 64
SPAN = 4096  # examples that are encoded at a time
LONGEST = 512  # tokens that are read of a text where neither the adapter nor the tokenizer says how many

Told = Callable[[int, int], object]  # how many texts are done, and of how many


def pipeline(folder: str | Path, model: str | nn.Module | None = None, tokenizer=None) -> "Predictor":
    """A callable that names texts by a saved adapter: `pipeline("my-bias")(["A fine film."])`.

    The base model is the one that the adapter was tuned on: from the package index or the Hub, or the folder it was in.
    `model`: another place of it, as `models.locate` takes one, or the model itself with its `tokenizer`. Raises
    `UserError` where it is not the adapter's base, and as `load` does.
    """
    folder = Path(folder)
    base, known, outputs = _about(folder)
    if isinstance(model, nn.Module):
        if tokenizer is None:
            raise UserError("pipeline: a model is given without its tokenizer; give both, or the model's name")
        return Predictor(model, tokenizer, load(folder, model))
    name = model if model is not None else models.local_name(base.name, base.revision, base.weights)
    if known is None and not outputs:
        raise UserError(
            f"the adapter in {folder} has no head that names classes, and does not say which prompt it answers; save "
            "it with `beft tune`, or give the model it was tuned in and its tokenizer"
        )
    loaded = _base_model(name, known, outputs)
    return Predictor(loaded, models.tokenizer(name), load(folder, loaded))


def predictor(name: str, adapter: Adapter) -> "Predictor":
    """The same of an adapter in memory, whose `use` is known, and the name of its base model."""
    if adapter.use is None:
        raise UserError("predictor: the adapter does not say what it is for; make it with runs.adapter, or save it")
    task = adapter.use.task
    model = _base_model(name, adapter.use, 0 if isinstance(task, PromptTask) else task.num_labels)
    return Predictor(model, models.tokenizer(name), adapter)


def _base_model(name: str, known: Use | None, outputs: int):
    """The model as it comes: a decoder for a task with a prompt, else one with a head of so many outputs."""
    if known is not None and isinstance(known.task, PromptTask):
        return models.causal(name)
    return models.classifier(name, outputs, seed=0)


def _about(folder: Path) -> tuple[Base, Use | None, int]:
    """The base model of a saved adapter, what it is for, and how many outputs its head has."""
    if own_format.is_own(folder):
        held, notes = own_format.read(folder)
        base, config = own_format.base_of(notes), {"task_type": "SEQ_CLS"}
        return base, *_outputs(folder, notes, {name: held[name] for name in held if name.startswith("head/")}, config)
    config = adapter_config(folder)
    tensors, header = read_tensors(folder / WEIGHTS)
    notes = read_notes(folder, header)
    base = Base(**notes["base"]) if notes else stock_base(config)
    return base, *_outputs(folder, notes, tensors, config)


def _outputs(folder: Path, notes: Mapping, tensors: Mapping[str, Tensor], config: Mapping) -> tuple[Use | None, int]:
    """What an adapter is for, and how many outputs its head has."""
    known = use.read(notes["use"], folder) if "use" in notes else None
    if known is not None and not isinstance(known.task, PromptTask):
        return known, known.task.num_labels
    matrices = [len(values) for name, values in tensors.items() if values.dim() > 1 and name.endswith(".weight")]
    classifies = config.get("task_type") == "SEQ_CLS" and matrices
    return known, min(matrices) if classifies else 0  # the last layer of a head is the narrowest


class Predictor:
    """Names texts by an adapter beside a model, whose weights stay as they are (see `attach`).

    Called with texts (or pairs of texts, or mappings of columns) it returns for each a dictionary: `label`, its
    `probability`, and the `probabilities` of all classes by name; of a decoder also the `word` that stands for the
    label; of a regression the `score` alone.
    """

    def __init__(self, model: Any, tokenizer, adapter: Adapter):
        self.model, self.tokenizer, self.adapter = model, tokenizer, adapter
        if getattr(self.model, "hf_device_map", None) is None:  # one over several devices stays where it is
            self.model.to(loop.device())
        self.model.eval()
        attach(self.model, {"tuned": adapter}).use("tuned")
        self.use = adapter.use
        self._task = adapter.use.task if adapter.use is not None else None
        self.prompt = self._task if isinstance(self._task, PromptTask) else None
        self.max_length = (
            adapter.use.max_length if adapter.use is not None else min(tokenizer.model_max_length, LONGEST)
        )
        self.truncated = 0  # texts that were cut, of all that were named so far

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of texts, as they were called in the data that the adapter was tuned on; empty if not known."""
        return tuple(self.use.columns) if self.use is not None else ()

    @property
    def texts(self) -> int:
        """How many texts an example has."""
        return len(self.columns) or 1

    @property
    def regression(self) -> bool:
        return self._task.regression if self._task is not None else self.model.config.num_labels == 1

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes in the order of the outputs; empty of a regression."""
        if self.regression:
            return ()
        if self._task is not None:
            return tuple(self._task.labels)
        names = self.model.config.id2label
        return tuple(str(names[place]) for place in sorted(names))

    def __call__(self, texts, tell: Told = lambda done, of: None) -> list[dict[str, Any]]:
        """What each text is named, in order. `tell(done, of)` is called as it goes on.

        Raises `UserError` for a text that is blank or none, or as many texts as the adapter's task has not.
        """
        outputs = self.outputs(texts, tell)
        if self.regression:
            return [{"score": float(row[0])} for row in outputs]
        shares = torch.from_numpy(outputs).double().softmax(-1).tolist()
        labels, made = self.labels, []
        for row in shares:
            best = max(range(len(row)), key=row.__getitem__)
            word = {"word": self.prompt.options[best]} if self.prompt else {}
            probabilities = dict(zip(labels, row, strict=True))
            made.append({"label": labels[best], **word, "probability": row[best], "probabilities": probabilities})
        return made

    def outputs(self, texts, tell: Told = lambda done, of: None) -> np.ndarray:
        """The model's logits (n, c); of a regression its scores (n, 1), of a decoder the scores of its words (n, c)."""
        rows = [
            self._row(place, text) for place, text in enumerate([texts] if isinstance(texts, (str, Mapping)) else texts)
        ]
        if not rows:
            return np.zeros((0, len(self.labels) or 1), np.float32)
        order = sorted(range(len(rows)), key=lambda place: sum(map(len, rows[place])))
        found = None
        for start in range(0, len(rows), SPAN):
            places = order[start : start + SPAN]
            compute = self._of_prompts if self.prompt else self._of_texts
            own = compute([rows[place] for place in places], partial(_told_on, tell, start, len(rows)))
            found = np.empty((len(rows), own.shape[1]), np.float32) if found is None else found
            found[places] = own
        assert found is not None, "there are rows"
        return found

    def _row(self, place: int, given) -> tuple[str, ...]:
        """The texts of one example, in the task's order."""
        if isinstance(given, Mapping):
            if lost := [column for column in self.columns if column not in given]:
                raise UserError(f"text {place}: no column {lost[0]!r}; valid: {', '.join(self.columns)}")
            texts = tuple(given[column] for column in self.columns)
        else:
            texts = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Sequence) else (given,)
        if len(texts) != self.texts:
            wanted = " and ".join(self.columns) or "one text"
            raise UserError(f"text {place}: {len(texts)} texts are given; the adapter reads {self.texts} ({wanted})")
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"text {place}: {text!r} is no text; give a text that is not blank, or leave it out")
        return texts

    @torch.inference_mode()
    def _of_texts(self, rows: Sequence[tuple[str, ...]], tell: Callable[[int], object]) -> np.ndarray:
        if isinstance(self._task, Task) and self.use is not None:
            named = [dict(zip(self.use.columns.values(), row, strict=True)) for row in rows]
            rows = [tuple(template.format_map(own) for template in self._task.text) for own in named]
        examples = Examples(tuple(rows), np.zeros(len(rows), np.int64), tuple(map(str, range(len(rows)))))
        encoded = batches.encode(self.tokenizer, examples, self.max_length)
        self.truncated += encoded.truncated
        made, places, where = [], [], next(self.model.parameters()).device
        for own in batches.by_length(encoded.lengths, BATCH):
            batch = batches.collate(encoded, own, where)
            batch.pop("labels")
            made.append(self.model(**batch).logits.float().cpu().numpy())
            places.extend(own)
            tell(len(places))
        return np.concatenate(made)[np.argsort(places)]

    def _of_prompts(self, rows: Sequence[tuple[str, ...]], tell: Callable[[int], object]) -> np.ndarray:
        assert self.prompt is not None and self.use is not None, "only a task with a prompt answers one"
        made = []
        for start in range(0, len(rows), BATCH):
            named = [dict(zip(self.use.columns.values(), row, strict=True)) for row in rows[start : start + BATCH]]
            prompts, options = zip(*(self.prompt.render(own, self.prompt.options) for own in named))
            names = tuple(str(start + place) for place in range(len(named)))
            nothing = ((),) * len(named)
            shown = Prompts(prompts, options, ((0,),) * len(named), nothing, names, len(self.prompt.options))
            choices = prompt_tokens.choices(self.tokenizer, shown, self._room())
            self.truncated += choices.truncated
            made += option_scores.option_scores(self.model, choices)
            tell(len(made))
        return np.stack(made).astype(np.float32)

    def _room(self) -> int:
        """Tokens of a prompt and its word, as a run reads them."""
        return min(self.max_length, getattr(self.model.config, "max_position_embeddings", None) or self.max_length)


def _told_on(tell: Told, before: int, of: int, done: int) -> None:
    tell(before + done, of)

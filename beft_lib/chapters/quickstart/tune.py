"""`beft_lib.tune`: the right bias of your own model, tuned on your own data, with what it is worth.

All biases are tuned once a seed, which ranks b_q, b_k and b_v; then the selected one is tuned alone, beside the control
(the head alone; for a decoder that answers prompts the untuned model). Every run is cached in the run store: the same
call again trains nothing.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from beft_lib import adapters, evidence, runs, tasks
from beft_lib.adapters import Adapter, Predictor, prediction
from beft_lib.chapters.quickstart import tables
from beft_lib.chapters.quickstart.plan import Setting
from beft_lib.chapters.quickstart.preparing import Prepared, prepared
from beft_lib.errors import UserError, unknown
from beft_lib.evidence import Comparison, words
from beft_lib.runs import store
from beft_lib.sweep import sweep
from beft_lib.tasks import Adopted
from beft_lib.tuning import methods

SELECTED = "selected"
_DEFAULT = "value"  # what is tuned where no score is defined: the paper's choice


@dataclass(frozen=True, eq=False, kw_only=True)
class Tuned:
    """What `tune` found; `save` writes the tuned bias, and its head, in PEFT's file format.

    `term`: the bias that was tuned, "query", "key" or "value". `comparison`: its runs, those of all biases and those of
    the control, by seed. `notices`: what was noticed in the data, and how the term was chosen, in sentences.
    """

    data: Adopted
    setting: Setting
    term: str
    comparison: Comparison
    notices: tuple[str, ...]

    @property
    def ranking(self) -> pd.DataFrame:
        """b_q, b_k and b_v by projection ratio, with its null model, Magnitude and Fisher; empty if not defined."""
        return tables.ranking(self.comparison)

    @property
    def scores(self) -> pd.DataFrame:
        """What each method trains and scores, and how far the tuned bias is from it; 95 % intervals."""
        return tables.scores(self.comparison, self.term)

    @property
    def confusion(self) -> pd.DataFrame:
        """How often each class (rows) was taken for each (columns), summed over seeds; for classes only."""
        return tables.confusion(self.comparison, self.term)

    @property
    def by_class(self) -> pd.DataFrame:
        """Of each class how many of its examples were found (recall), and how many of those taken for it are of it;
        and their means over classes. Summed over seeds; for classes only."""
        return tables.by_class(self.confusion)

    @property
    def verdicts(self) -> list[str]:
        """The tuned bias against its control and against all biases, in words, with what the data cannot tell."""
        others = dict.fromkeys((self.comparison.control, *self.setting.also, "all_biases"))
        return [
            words.sentence(self.term, other, self.comparison.gap(self.term, other))
            for other in others
            if other != self.term
        ]

    @property
    def advice(self) -> list[str]:
        """What scores decidedly higher than the tuned bias, in sentences, and how to keep that instead."""
        return words_of_advice(self.comparison, self.term)

    def adapter(self, seed: int | None = None, what: str = SELECTED) -> Adapter:
        """The tuned bias and head of one seed, the first unless named: the best of several would be chosen on the
        evaluation set, whose score then says too much. `what`: "selected", "all_biases", or a term that was tuned."""
        seeds, method = self.setting.seeds, self.term if what == SELECTED else what
        if seed is not None and seed not in seeds:
            raise UserError(f"seed {seed!r} was not run; valid: {', '.join(map(str, seeds))}")
        kept = [name for name in self.comparison.planned if name in (*methods.ATTENTION_TERMS, "all_biases")]
        if method not in kept:
            raise unknown("tuned bias", what, [SELECTED, *kept], "Others are tuned where `also` names them")
        wanted = (method, seeds[0] if seed is None else seed)
        if wanted not in self.comparison.results:
            raise UserError(f"the run of seed {wanted[1]} failed, so there is nothing to save; name another seed")
        found = runs.adapter(self.comparison.specs[wanted])
        assert found.use is not None, "the options of adopted data are the same for every example"
        return replace(found, use=replace(found.use, columns=self.data.columns))

    def save(self, folder: str | Path, seed: int | None = None, what: str = SELECTED) -> Path:
        """Write one run's biases and head (`adapter`) in PEFT's format, or all biases in our own, as PEFT's has no
        place for those of norms (see `adapters.save`); the folder."""
        return adapters.save(self.adapter(seed, what), folder)

    @cached_property
    def _predictor(self) -> Predictor:
        return prediction.predictor(self.setting.model, self.adapter())

    def predict(self, texts) -> list[dict[str, Any]]:
        """What the tuned bias of the first seed names each text, or pair of texts: see `adapters.Predictor`."""
        return self._predictor(texts)


def tune(
    model: str,
    train,
    evaluate=None,
    *,
    term: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    learning_rate: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    also: Sequence[str] = (),
    workers: int | None = None,
    **of_the_data,
) -> Tuned:
    """Rank the attention biases of a model on a data set, tune the selected one, and compare it with its controls.

    `model`: a name of `models.CATALOGUE`, a Hub id, or a folder made by `save_pretrained`. `train`, `evaluate` and
    `of_the_data` (text, label, kind, labels, max_length, ...): see `tasks.adopt`; `train` may also be what it returned.
    `term`: tune this one, whatever the ranking says. `learning_rate`, `epochs`: default 1e-3, and as many as make about
    400 steps. `also`: other methods to compare with, such as "lora" or "query". Raises `UserError`, before anything is
    trained, for what cannot be, all at once.
    """
    settings = {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size, "workers": workers}
    found = prepared(model, train, evaluate, term=term, seeds=seeds, also=also, **settings, **of_the_data)
    return carried_out(found, workers)


def carried_out(found: Prepared, workers: int | None = None) -> Tuned:
    """Tune what was prepared."""
    setting = found.setting
    chosen, reasons = (found.term, []) if found.term else _select(setting, workers)
    specs = setting.compared(chosen)
    sweep(specs, workers=workers)
    comparison, notices = evidence.compare_one(specs), (*found.notices, *reasons)
    return Tuned(data=found.data, setting=setting, term=chosen, comparison=comparison, notices=notices)


def example(folder: Path) -> tuple[Path, Path]:
    """Two CSV files in the place of your own, for training and evaluation: sentences generated for this project."""
    task, paths = tasks.of_encoder("toy-sentiment"), []
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in ((task.train, 200), (task.validation[0].split, 150)):
        examples = tasks.load(task, split, "bundled").take(range(count))
        paths.append(folder / f"reviews_{split}.csv")
        with open(paths[-1], "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["review", "opinion"])
            writer.writerows((text, task.labels[label]) for (text,), label in zip(examples.texts, examples.labels))
    return paths[0], paths[1]


# ------------------------------------------------------------------------------------------------ steps of tune


def words_of_advice(comparison: Comparison, term: str) -> list[str]:
    """What scores decidedly higher than a tuned term, in sentences, and how to keep that instead."""
    said = []
    for other in comparison.planned:
        gap = comparison.gap(other, term)
        if other == term or not (gap.decided and gap.mean > 0):
            continue
        name, points = methods.title(other), f"{gap.mean:.1f} points [{gap.low:.1f}, {gap.high:.1f}]"
        if other == "lora":
            how = "train it with peft.LoraConfig; it is compared here, and not saved"
        elif other in methods.ATTENTION_TERMS:
            how = f"save it with what={other!r} (--save {name})"
        elif other == "all_biases":
            how = (
                "save them with what='all_biases' (--save all_biases): with biases of norms among them in a format of "
                "ours, for which stock PEFT has no place, but which merges into a plain model for every library"
            )
        else:  # the control
            how = f"{methods.title(term)} is not worth its file here"
        said.append(f"Advice: {name} scores higher than {methods.title(term)}, by {points}; {how}.")
    return said


def _select(setting: Setting, workers: int | None) -> tuple[str, list[str]]:
    """Tune all biases; the term that the projection ratio then selects, and in words how."""
    specs = setting.ranking()
    sweep(specs, workers=workers)
    comparison = evidence.compare_one(specs)
    if not comparison.ranking:
        results = [store.trusted(spec) for spec in specs]
        reason = next((result.reason for result in results if result and not result.done), "no run ended")
        raise UserError(f"every run that tunes all biases failed: {reason}; try a smaller learning_rate")
    selected = comparison.selected("projection")
    if selected is None:
        return _DEFAULT, [
            "The projection ratio is not defined: b_q, b_k and b_v were zero before tuning, and nothing can be "
            "projected onto zero. b_v is tuned, as the paper recommends."
        ]
    scores, nulls = comparison.means("projection"), comparison.means("null_model")
    return selected, [
        f"The projection ratio selects {methods.title(selected)}: {scores[selected]:.3g}, where a random change of the "
        f"same size would score {nulls[selected]:.3g}."
    ]

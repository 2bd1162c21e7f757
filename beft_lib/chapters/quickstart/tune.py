"""`beft_lib.tune`: the right bias of your own model, tuned on your own data, with what it is worth.

All biases are tuned once a seed, which ranks b_q, b_k and b_v; then the selected one is tuned alone, beside the control
(the head alone; for a decoder that answers prompts the untuned model). Every run is cached in the run store: the same
call again trains nothing.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from beft_lib import adapters, evidence, models, runs, tasks
from beft_lib.adapters import Adapter
from beft_lib.chapters.quickstart import tables
from beft_lib.chapters.quickstart.plan import Setting, check, model_name
from beft_lib.errors import UserError
from beft_lib.evidence import Comparison, words
from beft_lib.runs import store, suitability
from beft_lib.sweep import sweep
from beft_lib.tasks import Adopted
from beft_lib.tuning import methods

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
    def verdicts(self) -> list[str]:
        """The tuned bias against its control and against all biases, in words, with what the data cannot tell."""
        others = (self.comparison.control, "all_biases")
        return [words.sentence(self.term, other, self.comparison.gap(self.term, other)) for other in others]

    def adapter(self, seed: int | None = None) -> Adapter:
        """The tuned bias and head of one seed, the first unless named: the best of several would be chosen on the
        evaluation set, whose score then says too much."""
        seeds = self.setting.seeds
        if seed is not None and seed not in seeds:
            raise UserError(f"seed {seed!r} was not run; valid: {', '.join(map(str, seeds))}")
        wanted = (self.term, seeds[0] if seed is None else seed)
        if wanted not in self.comparison.results:
            raise UserError(f"the run of seed {wanted[1]} failed, so there is nothing to save; name another seed")
        return runs.adapter(self.comparison.specs[wanted])

    def save(self, folder: str | Path, seed: int | None = None) -> Path:
        """Write `adapter_config.json` and `adapter_model.safetensors` (see `adapters.save`); the folder."""
        return adapters.save(self.adapter(seed), folder)


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
    workers: int | None = None,
    **of_the_data,
) -> Tuned:
    """Rank the attention biases of a model on a data set, tune the selected one, and compare it with its controls.

    `model`: a name of `models.CATALOGUE`, a Hub id, or a folder made by `save_pretrained`. `train`, `evaluate` and
    `of_the_data` (text, label, kind, labels, max_length, ...): see `tasks.adopt`; `train` may also be what it returned.
    `term`: tune this one, whatever the ranking says. `learning_rate`, `epochs`: default 1e-3, and as many as make about
    400 steps. Raises `UserError`, before anything is trained, for what cannot be.
    """
    check(model, seeds, term)
    name = model_name(model)
    data = _adopted(train, evaluate, of_the_data)
    _check_form(name, data)
    models.fetch(name)
    length, cut = suitability.read_length(name, data.definition, data.source, of_the_data.get("max_length"))
    setting = Setting(
        model=name,
        task=data.task,
        source=data.source,
        n_train=data.train,
        seeds=tuple(seeds),
        learning_rate=learning_rate,
        epochs=epochs,
        batch_size=batch_size,
        max_length=length,
    )
    chosen, reasons = (term, []) if term else _select(setting, workers)
    specs = setting.compared(chosen)
    sweep(specs, workers=workers)
    notices = (*data.notices, *cut, *reasons)
    return Tuned(data=data, setting=setting, term=chosen, comparison=evidence.compare_one(specs), notices=notices)


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


def command(model: str, train, evaluate=None, *, out: Path | None = None, **settings) -> int:
    """`python -m beft_lib tune`: `tune`, told in plain text, and the tuned bias saved in `out`; the exit status."""
    if out is not None:
        adapters.check_folder(out)
    tuned = tune(model, train, evaluate, **settings)
    out = out or Path(f"beft-{tuned.data.task}")
    adapters.check_folder(out)
    for sentence in tuned.notices:
        print(f"- {sentence}")
    for frame in (tuned.ranking, tuned.scores, tuned.confusion):
        if not frame.empty:
            print(f"\n{(frame.reset_index() if frame.index.name else frame).to_string(index=False)}")
    print()
    for sentence in tuned.verdicts:
        print(f"- {sentence}")
    folder = tuned.save(out)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1000
    print(f"\nsaved: {folder} ({size:.0f} KB): the run of seed {tuned.setting.seeds[0]}. It loads with peft:")
    print(f"    peft.PeftModel.from_pretrained(model, {str(folder)!r})")
    return 0 if len(tuned.comparison.results) == len(tuned.comparison.specs) else 1


# ------------------------------------------------------------------------------------------------ steps of tune


def _adopted(train, evaluate, of_the_data: Mapping[str, Any]) -> Adopted:
    """The data set: `train` itself where it was adopted already, which nothing can be added to."""
    if not isinstance(train, Adopted):
        return tasks.adopt(train, evaluate, **of_the_data)
    if evaluate is not None or of_the_data:
        raise UserError("train is a data set that was adopted already: give what it is made of to tasks.adopt")
    return train


def _check_form(model: str, data: Adopted) -> None:
    """Raise `UserError` for a decoder whose data set has no prompt."""
    if models.is_decoder(model) and not data.definition.prompts:
        raise UserError(
            f"{model} is a decoder, which answers prompts: give prompt (--prompt), a template with columns in braces "
            "such as '{review} It was', and words (--words), the answer that stands for each class"
        )


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

"""Everything that `tune` checks and finds out before it trains: the data as read, what a score will tell, the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beft_lib import models, sweep, tasks, workspace
from beft_lib.chapters.plans import check_seeds
from beft_lib.chapters.quickstart.plan import Setting, check_also, check_model, check_term, model_name
from beft_lib.errors import Gathering, UserError
from beft_lib.runs import suitability
from beft_lib.tasks import Adopted
from beft_lib.tasks.own.checks import USUAL_EVALUATION, interval
from beft_lib.tuning import loop, prepare

USUAL_TERM = "value"  # whose runs stand for the selected term's where it is not known yet


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """What is to be tuned: the data, how, and in sentences what was found. `term`: the one asked for, if any."""

    data: Adopted
    setting: Setting
    term: str | None
    notices: tuple[str, ...]

    def told(self, seconds: float, kept: bool = True) -> list[str]:
        """The data, what a score on it will tell and the time it takes, a line each; `kept`: and where its copy is."""
        data = self.data
        lines = [f"{data.train:,} rows to train on, {data.evaluation:,} to evaluate on."]
        if data.counts:
            counts = ", ".join(f"{label!r} {train} + {held}" for label, (train, held) in data.counts.items())
            lines.append(f"Rows of each class, to train + to evaluate: {counts}.")
        lines += self.notices
        if data.evaluation >= USUAL_EVALUATION:  # of fewer the notices say it
            lines.append(
                f"A score's 95 % interval will be about {interval(data.evaluation, data.definition.regression)}."
            )
        if kept:
            lines.append(f"A copy of the rows is kept in {workspace.runs_folder() / 'own' / data.task}.")
        return [*lines, f"Expected time: about {_duration(seconds)}."]


def prepared(
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
) -> Prepared:
    """Read and check all that `tune` is given (see there). Raises `UserError` for all that is wrong, at once."""
    gathering = Gathering()
    with gathering:
        check_seeds(seeds)
    with gathering:
        check_term(term)
    with gathering:
        check_also(also)
    with gathering:
        if workers is not None:
            workspace.check_workers(workers)
    for name, value in {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size}.items():
        with gathering:
            _check_positive(name, value, whole=name != "learning_rate")
    prompted = train.definition.prompts if isinstance(train, Adopted) else of_the_data.get("prompt") is not None
    with gathering:
        _check_read(model, prompted)
    with gathering:
        data = _adopted(train, evaluate, of_the_data)
    gathering.tell()
    name = model_name(model)
    length, cut = suitability.read_length(name, data.definition, data.source, of_the_data.get("max_length"))
    settings = {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size, "max_length": length}
    of_the_task = {"task": data.task, "source": data.source, "n_train": data.train}
    setting = Setting(model=name, seeds=tuple(seeds), also=tuple(also), **of_the_task, **settings)
    setting.ranking()  # raises where a run cannot be
    return Prepared(data=data, setting=setting, term=term, notices=(*data.notices, *cut))


def expected_seconds(found: Prepared, workers: int | None = None, speed: float | None = None) -> float:
    """How long tuning will take, by this machine's speed: from its stored runs, else measured now, in a few seconds.

    `speed`: tokens a second, where it is known (`sweep.speed`). What is stored takes no time.
    """
    workers = workers or workspace.workers()
    setting = found.setting
    new = sweep.plan(setting.compared(found.term or USUAL_TERM)).new
    speed = speed or sweep.speed(setting.model) or _measured(setting, workers)
    seconds = sweep.estimate(new, workers, {setting.model: speed})
    assert seconds is not None, "the model's speed is given"
    return seconds


def _measured(setting: Setting, workers: int) -> float:
    """Tokens a second of one worker, of a model that trains all biases."""
    task = tasks.get(setting.task)
    prompted = isinstance(task, tasks.PromptTask)
    model = models.causal(setting.model) if prompted else models.classifier(setting.model, task.num_labels, seed=0)
    model = prepare.apply_method(model, "all_biases").model
    return loop.tokens_per_second(model, threads=max(1, workspace.cores() // workers))


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.0f} h"


def _check_positive(name: str, value: float | None, whole: bool) -> None:
    """Raise `UserError` for a number that is none, or not above 0."""
    kinds = int if whole else (int, float)
    if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not value > 0):
        kind = "whole number" if whole else "number"
        raise UserError(f"{name} {value!r} is not a {kind} above 0; leave it out, or give one")


def _adopted(train, evaluate, of_the_data: Mapping[str, Any]) -> Adopted:
    """The data set: `train` itself where it was adopted already, which nothing can be added to."""
    if not isinstance(train, Adopted):
        return tasks.adopt(train, evaluate, **of_the_data)
    if evaluate is not None or of_the_data:
        raise UserError("train is a data set that was adopted already: give what it is made of to tasks.adopt")
    return train


def _check_read(model: str, prompted: bool) -> None:
    """Raise `UserError` for a model that cannot be had, and for a decoder without a prompt."""
    check_model(model)
    name = model_name(model)
    if models.is_decoder(name) and not prompted:
        raise UserError(
            f"{model} is a decoder, which answers prompts: give prompt (--prompt), a template with columns in braces "
            "such as '{review} It was', and words (--words), the answer that stands for each class; or a model with a "
            "classification head, saved as a ...ForSequenceClassification"
        )
    models.fetch(name)

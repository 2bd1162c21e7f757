"""A model and data of one's own, in the shell: `beft tune`, `check --train`, `predict` and `forget`."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from beft_lib import adapters, sweep, workspace
from beft_lib.adapters import own_format
from beft_lib.chapters.quickstart import preparing
from beft_lib.chapters.quickstart import tune as tuning
from beft_lib.chapters.quickstart.plan import model_name
from beft_lib.chapters.quickstart.tune import Tuned
from beft_lib.cli import layouts
from beft_lib.cli import predict as predicting
from beft_lib.runs import forgetting

TERMS = {"b_q": "query", "b_k": "key", "b_v": "value"}


def _method(name: str) -> str:
    """A method by its name; a term also as tables call it."""
    return TERMS.get(name, name)


def tune(arguments: argparse.Namespace) -> int:
    """What was found in the data first; then the runs, what they are worth, and the bias that is saved."""
    _register_layout(arguments)
    with _store(arguments.runs):
        if arguments.out is not None:
            adapters.check_folder(arguments.out)
        what = _method(arguments.save)
        also = [_method(name) for name in arguments.also] + ([what] if arguments.save in TERMS else [])
        found = preparing.prepared(**_settings(arguments), also=tuple(dict.fromkeys(also)))
        out = arguments.out or Path(f"beft-{found.data.task}")
        adapters.check_folder(out)
        _list(found.told(preparing.expected_seconds(found, arguments.workers)))
        tuned = tuning.carried_out(found, arguments.workers)
        folder = tuned.save(out, what=what)  # first, so that nothing that follows can lose it
        _tell(tuned, len(found.notices))
        _tell_saved(tuned, folder)
        return 0 if len(tuned.comparison.results) == len(tuned.comparison.specs) else 1


def check(arguments: argparse.Namespace) -> int:
    """The same checks, and what they found; nothing is kept and nothing trains."""
    _register_layout(arguments)
    with _store(arguments.runs):
        speed = sweep.speed(model_name(arguments.model))
    with tempfile.TemporaryDirectory() as folder, _store(Path(folder)):
        found = preparing.prepared(**_settings(arguments), also=tuple(map(_method, arguments.also)))
        _list(found.told(preparing.expected_seconds(found, arguments.workers, speed), kept=False))
    return 0


def predict(arguments: argparse.Namespace) -> int:
    return predicting.predict(
        arguments.adapter,
        arguments.input,
        model=arguments.model,
        text=arguments.text,
        out=arguments.out,
        form=arguments.format,
    )


def forget(arguments: argparse.Namespace) -> int:
    with _store(arguments.runs):
        gone = forgetting.forget(arguments.task)
    print(f"removed {gone.data} and {gone.runs} runs, {gone.size / 1e6:.1f} MB; saved biases stay where they are")
    return 0


ANSWERS = {"tune": tune, "check": check, "predict": predict, "forget": forget}


@contextmanager
def _store(folder: Path | None) -> Iterator[None]:
    """Work in this run store, if one is named."""
    told = workspace.current()
    with workspace.using(told if folder is None else replace(told, runs=folder.expanduser())):
        yield


def _register_layout(arguments: argparse.Namespace) -> None:
    if arguments.layout is not None:
        layouts.register(arguments.layout)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    text = arguments.text
    return {
        "model": arguments.model,
        "train": arguments.train,
        "evaluate": arguments.eval,
        "text": None if text is None else text[0] if len(text) == 1 else tuple(text),
        "label": arguments.label,
        "kind": arguments.kind,
        "drop_invalid": arguments.drop_invalid,
        "max_length": arguments.max_length,
        "prompt": arguments.prompt,
        "words": arguments.words,
        "space": arguments.space,
        "term": arguments.term,
        "seeds": tuple(arguments.seeds),
        "learning_rate": arguments.learning_rate,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "workers": arguments.workers,
    }


def _list(sentences) -> None:
    for sentence in sentences:
        print(f"- {sentence}", flush=True)


def _tell(tuned: Tuned, known: int) -> None:
    """The ranking, the scores and what they mean; `known` notices were told before."""
    print()
    _list(tuned.notices[known:])
    for frame in (tuned.ranking, tuned.scores, tuned.by_class, tuned.confusion):
        if not frame.empty:
            print(f"\n{(frame.reset_index() if frame.index.name else frame).to_string(index=False)}")
    print()
    _list([*tuned.verdicts, *tuned.advice])


def _tell_saved(tuned: Tuned, folder: Path) -> None:
    """Where the bias is, how it is used, and where everything else was left."""
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1000
    print(f"\nsaved: {folder} ({size:.0f} KB): the run of seed {tuned.setting.seeds[0]}. New texts:")
    print(f"    beft predict --adapter {folder} --input new.csv --out named.csv")
    if own_format.is_own(folder):
        print("It loads with adapters.load; stock PEFT has no place for biases of norms, and refuses the folder.")
    else:
        print(f"It loads with peft: peft.PeftModel.from_pretrained(model, {str(folder)!r})")
        if tuned.data.counts and not tuned.data.definition.prompts:
            print(f"There the classes are, in order: {', '.join(tuned.data.definition.labels)}.")
    store, task = workspace.runs_folder(), tuned.data.task
    print(f"Runs and a copy of the data are in {store}. To remove them: beft forget {task} --runs {store}")

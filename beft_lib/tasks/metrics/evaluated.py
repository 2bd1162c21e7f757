"""Every score as an `evaluate.Metric` that needs no network: what runs score with, and what a user gets."""

import functools
import itertools

from beft_lib.errors import UserError

from . import answers, correlations
from .score import DESCRIPTIONS, check_name, compute


def get(name: str):
    """The metric as an `evaluate.Metric`: `get("f1").compute(predictions=..., references=...) == {"f1":
    ...}`.

    It keeps its examples in memory, so that any number of processes can compute at once. Differs from
    `evaluate.load(name)` in: 1. nothing is fetched; 2. constant predictions are 0.0 throughout (see the
    package). Raises `UserError` for an unknown name.
    """
    check_name(name)
    return _metric_class(name)()


@functools.cache
def _metric_class(name):
    """The `evaluate.Metric` subclass of a score; made on use, as importing `evaluate` takes seconds."""
    import datasets
    import evaluate

    value = datasets.Value("float64" if name in correlations.NAMES else "string" if name in answers.NAMES else "int64")
    reference = datasets.List(value) if name in answers.NAMES else value

    class Score(evaluate.Metric):
        def __init__(self, **settings):
            super().__init__(**{"keep_in_memory": settings.get("num_process", 1) == 1, **settings})

        def _build_data_dir(self):
            """Makes no folder where all is kept in memory, so that a run needs no cache that it may write to."""
            return self._data_dir_root if self.keep_in_memory else super()._build_data_dir()

        def _info(self):
            return evaluate.MetricInfo(
                description=DESCRIPTIONS[name],
                citation="",
                inputs_description="predictions, references: lists of the same length",
                features=datasets.Features({"predictions": value, "references": reference}),
            )

        def _compute(self, predictions, references):
            return {name: compute(name, predictions, references)}

    class TextScore(Score):
        def add(self, *, prediction=None, reference=None):
            """As `add_batch`, of one example."""
            self.add_batch(predictions=[prediction], references=[reference])

        def add_batch(self, *, predictions=None, references=None):
            """Refuses what is no text, which would be stored as its `str`."""
            if predictions is None or references is None:
                raise UserError(f"metric {name!r}: a batch needs both predictions and references; give both")
            for text in itertools.chain(predictions, *references):
                if not isinstance(text, str):
                    raise UserError(
                        f"metric {name!r}: {text!r} is no text; answers of several spans are for `metrics.compute`"
                    )
            super().add_batch(predictions=predictions, references=references)

    made = TextScore if name in answers.NAMES else Score
    made.__name__ = made.__qualname__ = "".join(part.capitalize() for part in name.split("_"))
    made.__doc__ = DESCRIPTIONS[name]
    return made

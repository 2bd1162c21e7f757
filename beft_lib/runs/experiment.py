"""What a run's model and data offer, whether they are an encoder with a head or a decoder with prompts."""

from typing import Any, Protocol

import numpy as np
from torch import nn

from beft_lib import importance
from beft_lib.biases import Bias
from beft_lib.runs.result import Value
from beft_lib.tuning.loop import Data, Loss


class Experiment(Protocol):
    """What `execute` and `timing` need of `encoder.EncoderRun` and `decoder.DecoderRun`.

    `model`: as it comes, before a method is applied; what is evaluated is the model that the method made of it.
    `data` and `loss`: what `tuning.loop.tune` takes.
    """

    @property
    def model(self) -> nn.Module: ...
    @property
    def data(self) -> Data: ...
    @property
    def loss(self) -> Loss: ...

    @property
    def facts(self) -> dict[str, Any]:
        """What a result says of the examples: counts by split, and how many were cut."""
        ...

    def pass_of(self, model: nn.Module) -> str:
        """Which forward pass the tuned model goes through: "encoder" (`tuning.encoder_pass`), or "transformers"."""
        ...

    def fisher(self, model: nn.Module, handles: list[Bias]) -> list[importance.Score]:
        """Fisher scores over the run's training examples; none where Fisher is not defined."""
        ...

    def evaluate(self, model: nn.Module) -> tuple[list[Value], dict[str, np.ndarray]]:
        """The task's metrics on every split, the primary one first; and what was predicted, by name."""
        ...

    def files(self) -> dict[str, bytes]:
        """What else is kept of the last evaluation, by file name."""
        ...

"""Which of a plan's runs are compared with each other."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from beft_lib.runs import RunSpec


class Group(NamedTuple):
    """Runs that may be compared: in each setting one run a method and seed (see `evidence.compare`).

    `variant` says what sets them apart from the plan's other groups; `arms` how runs of one method are told apart.
    """

    specs: Sequence[RunSpec]
    variant: str = ""
    arms: Mapping[RunSpec, str] = {}

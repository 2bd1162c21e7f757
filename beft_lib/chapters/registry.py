"""Which runs each notebook needs: one module a notebook, from its parameters to `RunSpec`s, without any heavy import.

The notebook calls its module's `plan`; so does the command line, to check and count the runs before anything starts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from beft_lib.chapters.autoregressive import plan as autoregressive
from beft_lib.chapters.bias_selection import plan as bias_selection
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.extension import plan as extension
from beft_lib.chapters.glue_regimes import plan as glue_regimes
from beft_lib.chapters.quickstart import plan as quickstart_plan
from beft_lib.chapters.why_b_v import plan as why_b_v
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group
from beft_lib.runs.timing import TimingSpec

# Every plan has `specs`, all its runs, and `groups`, those that claims are judged from (`groups.Group`).
PLANS: dict[str, Callable] = {
    "00_quickstart": quickstart_plan.plan,
    "01_bias_selection": bias_selection.plan,
    "02_glue_regimes": glue_regimes.plan,
    "03_efficiency": efficiency.plan,
    "04_extension": extension.plan,
    "05_autoregressive": autoregressive.plan,
    "06_why_b_v": why_b_v.plan,
}


def plan(notebook: str, parameters: dict):
    """The runs that an execution of the notebook asks for. Raises `UserError` for parameters that cannot work."""
    return PLANS[notebook](**parameters)


class Needs(NamedTuple):
    """What a report reads of a plan: all its runs, those that are compared, what it times, and models it measures."""

    specs: Sequence[RunSpec]
    groups: Sequence[Group]
    timings: Sequence[TimingSpec]
    probed: Sequence[str] = ()


def needs(made) -> Needs:
    return Needs(list(made.specs), list(made.groups), timings(made), probed(made))


def timings(made) -> tuple:
    """What a plan measures besides its runs (see `timing`): nothing, in most."""
    return getattr(made, "timings", ())


def probed(made) -> tuple[str, ...]:
    """The models that a plan's notebook measures without a run: none, in most."""
    return getattr(made, "probed", ())


def trains_own_data(notebook: str) -> bool:
    """Whether what the notebook runs is on a user's data, and so is not among any published records."""
    return PLANS.get(notebook) is quickstart_plan.plan

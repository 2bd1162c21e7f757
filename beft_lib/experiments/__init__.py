"""Which runs each notebook needs: one module a notebook, from its parameters to `RunSpec`s, without any heavy import.

The notebook calls its module's `plan`; so does the command line, to check and count the runs before anything starts.
"""

from collections.abc import Callable

from beft_lib.experiments import bias_selection, glue_regimes

# Every plan has `specs`, all its runs, and `compared`, those of one recipe, from which claims are judged.
PLANS: dict[str, Callable] = {"01_bias_selection": bias_selection.plan, "02_glue_regimes": glue_regimes.plan}


def plan(notebook: str, parameters: dict):
    """The runs that an execution of the notebook asks for. Raises `UserError` for parameters that cannot work."""
    return PLANS[notebook](**parameters)

"""Cli: the commands of the shell, with the standard library alone until one needs more, so that they answer at once.

commands       the arguments of each, and what answers it
layouts        where the biases of a new architecture are
lists          what there is to choose from, by name
streams        output that never stops the work
definitions    what a task's definition says, or what is wrong with it
practice       a model and data of one's own: checked, tuned, forgotten
predict        new texts, named by a saved bias
"""

from beft_lib.cli.commands import main

__all__ = ["main"]

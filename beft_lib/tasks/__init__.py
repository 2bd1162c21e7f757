"""Tasks: what to classify, score or write, from which columns of which data, by which metric.

`get(name)` is a task's definition, `load(task, split, source)` its examples: `Examples` of a task of an
encoder, `Prompts` of a task of a decoder. `adopt` makes a task of data of one's own.
"""

from .catalogue import get, names, of_encoder, title
from .definition import REGIMES, Task
from .examples import Examples, Prompts
from .own.adopt import Adopted, adopt
from .prompt_task import PromptTask
from .sources.source import load, parse_source, sizes, version

__all__ = [
    "REGIMES",
    "Adopted",
    "Examples",
    "PromptTask",
    "Prompts",
    "Task",
    "adopt",
    "get",
    "load",
    "names",
    "of_encoder",
    "parse_source",
    "sizes",
    "title",
    "version",
]

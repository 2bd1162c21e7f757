"""Tasks: what to classify or score, from which columns of which data, by which metric.

`get(name)` is a task's definition, `load(task, split, source)` its examples.
"""

from .definition import REGIMES, Task, get, names
from .examples import Examples
from .source import load, parse_source, sizes, version

__all__ = ["REGIMES", "Examples", "Task", "get", "load", "names", "parse_source", "sizes", "version"]

"""Data of one's own: read from a file, a frame or the Hub, checked, and kept as a task.

adopt      the whole way, from a file to a task
reading    any readable format as a table of rows
values     what a cell holds
columns    which column is the text, and which the label
labels     what the classes are, or whether there are scores
checks     what is wrong with the rows, and what is worth knowing of them
prompts    a template with columns in braces, for a decoder
writing    the task's definition and data, beside the runs
"""

from .adopt import Adopted, adopt

__all__ = ["Adopted", "adopt"]

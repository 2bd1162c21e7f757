"""In the place of the package of this name, for Ray's processes: `import ray` imports jsonschema, which imports it if
it is there, as it is with Jupyter; it then parses a grammar for longer than all the rest takes, in each process."""

raise ImportError("not for Ray's processes")

"""One module a use case: wires the parts, owns the clock and the number of nodes at a time. The Python API."""

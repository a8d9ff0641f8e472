"""One module a use case; each returns values and prints nothing. This is the Python API."""

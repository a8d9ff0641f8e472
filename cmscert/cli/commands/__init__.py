"""One thin module a command: read the options, call one use case, draw its result, return a code."""

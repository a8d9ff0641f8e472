"""YAML to desired state; every fault with file, line and column."""

"""Asks a node through a read-only session; returns an observed node."""

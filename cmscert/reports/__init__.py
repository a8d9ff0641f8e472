"""Draws plans, results, drift, status and events as text and JSON. Decides nothing."""

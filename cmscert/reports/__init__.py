"""Draws plans, drift, status and events. Decides nothing."""

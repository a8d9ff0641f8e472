"""Runs a plan: step by step, read back, journal, way back. It never plans."""

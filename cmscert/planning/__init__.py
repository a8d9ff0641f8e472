"""Checks, diff, steps, order, guards, prediction: pure."""

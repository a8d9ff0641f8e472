"""Bytes to certificate facts: PEM, keys, chains, profile rules. Pure; knows no CMS words."""

"""Simulated CMS nodes on loopback, built from the fact sheet alone. Shares no code with what it tests."""

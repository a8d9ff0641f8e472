"""Frozen values that travel between the packages. No behaviour beyond reading themselves."""

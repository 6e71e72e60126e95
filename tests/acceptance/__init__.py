"""Promises about the whole, as its user meets it."""

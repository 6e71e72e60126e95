"""Mistakes that people make, each with its code and with what mends it."""

"""Checks of configuration, source and position; the daemon and the commands use them."""

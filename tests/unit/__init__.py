"""Tests of the pure parts: no server, no clock, no file but pytest's own."""

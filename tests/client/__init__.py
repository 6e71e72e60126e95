"""Tests of the client, on real servers."""

"""Tests of the whole sidecar as its user sees it."""

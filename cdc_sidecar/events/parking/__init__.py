"""Parking: a change that cannot be published goes whole into a topic of its own."""

"""The daemon at work: sessions, threads, health. Only here things are counted and logged."""

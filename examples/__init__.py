"""Two services that share events and no database."""

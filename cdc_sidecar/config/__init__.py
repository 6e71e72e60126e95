"""The TOML configuration: its model, its units and secrets, and the loading of a file."""

"""The TOML configuration: its model, its units and secrets, and how a file becomes a model."""

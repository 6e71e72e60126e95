"""The status page: `/status` for people, without a build step and without external assets."""

"""The manifests of `deploy/`, and what they deploy."""

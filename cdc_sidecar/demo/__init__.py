"""The demo: a shop, a sidecar that is killed, the screen and the verdict."""

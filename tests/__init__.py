"""The promises of cdc-sidecar: units, real servers, and the whole as its user meets it."""

"""The commands of `cdc-sidecar`, one module each; `cli` only names them and their options."""

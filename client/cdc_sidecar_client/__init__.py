"""The code of a service beside cdc-sidecar: `outbox` emits events, `consumer` handles them."""

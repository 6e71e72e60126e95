"""Programs of others read our topics: `make interop`."""

"""A service that takes orders and says so: see `service` and `python -m examples.orders`."""

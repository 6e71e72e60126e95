"""A service that writes an invoice for each order, from the events of the order service."""

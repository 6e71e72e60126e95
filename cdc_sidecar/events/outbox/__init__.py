"""Transactional outboxes: inserted rows and logical messages become events of their own types.

The columns are those of Debezium's "Outbox Event Router", and the wire is the contract's "Outbox
wire". A table and messages are two ways to the same `router`.
"""

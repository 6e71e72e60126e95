-- The sidecar deletes rows of the outbox that are published: `prune` in orders.toml.
GRANT DELETE ON outbox TO cdc_sidecar;
ALTER ROLE cdc_sidecar PASSWORD 'cdc_sidecar';

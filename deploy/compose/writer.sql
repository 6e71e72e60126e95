-- What the service does, as a script of pgbench.
\set cents random(100, 50000)
BEGIN;
INSERT INTO orders (total) VALUES (:cents / 100.0) RETURNING id \gset
INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
VALUES ('order', :id, 'OrderPlaced', jsonb_build_object('id', :id, 'total', :cents / 100.0));
COMMIT;
\set paid random(:id - 100, :id)
UPDATE orders SET status = 'paid' WHERE id = :paid AND status = 'placed';
\set old :id - 100000
DELETE FROM orders WHERE id = :old;

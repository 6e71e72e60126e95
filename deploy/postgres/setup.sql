-- For the owner of database "orders", to be run in this order. The sidecar runs none of it.

-- 1. A role that may log in and replicate, and nothing more. Set its password: \password "cdc_sidecar"
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cdc_sidecar') THEN
        CREATE ROLE "cdc_sidecar" LOGIN REPLICATION;
    END IF;
END $$;

-- 2. Its privileges. SELECT is for snapshots.
GRANT CONNECT ON DATABASE "orders" TO "cdc_sidecar";
GRANT USAGE ON SCHEMA "public" TO "cdc_sidecar";
GRANT SELECT ON "public"."orders" TO "cdc_sidecar";
GRANT SELECT ON "public"."order_lines" TO "cdc_sidecar";
GRANT SELECT ON "public"."outbox" TO "cdc_sidecar";

-- 3. The publication, before the slot: rows that are older than the publication are never sent.
--    A partitioned table is published as one table. The publication is not created if the service
--    could not change the rows of a table afterwards.
BEGIN;
CREATE PUBLICATION "orders_cdc" FOR TABLE "public"."orders", "public"."order_lines", "public"."outbox"
    WITH (publish_via_partition_root = true);
DO $$ DECLARE tables text; cures text; BEGIN
    WITH members AS (
        SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
               EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                       AND i.indimmediate AND i.indisvalid) AS has_key,
               EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident
                       AND i.indisvalid) AS has_index,
               current_setting('server_version_num')::int >= 180000 AND EXISTS (
                   SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''
               ) AS is_generated
        FROM pg_publication_tables p
        JOIN pg_namespace s ON s.nspname = p.schemaname
        JOIN pg_class o ON o.relnamespace = s.oid AND o.relname = p.tablename
        JOIN pg_class c ON c.relkind = 'r' AND (c.oid = o.oid
             OR o.relkind = 'p' AND c.oid IN (SELECT relid FROM pg_partition_tree(o.oid)))
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE p.pubname = 'orders_cdc')
    SELECT string_agg(name, ', '), string_agg(CASE
               WHEN has_key THEN format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', name)
               WHEN is_generated THEN format('give %s a primary key', name)
               ELSE format('ALTER TABLE %s REPLICA IDENTITY FULL', name) END, '; ')
    INTO tables, cures FROM members
    WHERE NOT CASE identity WHEN 'd' THEN has_key WHEN 'i' THEN has_index
                            WHEN 'f' THEN NOT is_generated ELSE false END;
    IF tables IS NOT NULL THEN
        RAISE EXCEPTION 'the service could not UPDATE or DELETE rows of %', tables
            USING HINT = cures;
    END IF;
END $$;
COMMIT;

-- 4. The slot. Then start the sidecar once with `cdc-sidecar run --bootstrap`.
-- From here on the server keeps WAL until the sidecar has read it.
SELECT pg_create_logical_replication_slot('orders_cdc', 'pgoutput') FROM pg_publication
WHERE pubname = 'orders_cdc';

"""What surrounds the slot: standbys, clocks, and settings that `check` warns of."""

import time
from dataclasses import dataclass

import psycopg

_SURROUNDINGS = """
SELECT extract(epoch FROM clock_timestamp())::float8,
       coalesce(nullif(current_setting('idle_replication_slot_timeout', true), '0'), ''),
       coalesce(current_setting('synchronized_standby_slots', true), ''),
       coalesce(array_agg(name ORDER BY name) FILTER (WHERE physical), '{}'),
       coalesce(array_agg(name ORDER BY name) FILTER (WHERE physical AND silent), '{}'),
       coalesce(bool_or(failover) FILTER (WHERE name = %(slot)s), false)
FROM (SELECT slot_name::text AS name, slot_type = 'physical' AS physical,
             active AND xmin IS NULL AND catalog_xmin IS NULL AS silent,
             (to_jsonb(s) ->> 'failover')::boolean AS failover
      FROM pg_replication_slots s) slots
"""
"""`failover` came with version 17, and both settings came later than version 14."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The standbys of the server, its clock, and settings that older versions do not have."""

    clock_difference: float  # seconds by which the server's clock is ahead of ours
    idle_slot_timeout: str  # as the server writes it; "" if slots may be idle for ever
    synchronized_standby_slots: str
    standby_slots: tuple[str, ...]  # the physical slots
    without_feedback: tuple[str, ...]  # those of standbys that send no hot_standby_feedback
    failover: bool  # whether our slot exists and is copied to standbys


def read_surroundings(connection: psycopg.Connection, slot: str) -> Surroundings:
    """Return what surrounds a slot."""
    before = time.time()
    row = connection.execute(_SURROUNDINGS, {"slot": slot}).fetchone()
    after = time.time()  # the server has read its clock in between
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY returns one row
    clock, idle, awaited, standbys, silent, failover = row
    ahead = max(clock - after, 0.0) + min(clock - before, 0.0)
    return Surroundings(ahead, idle, awaited, tuple(standbys), tuple(silent), failover)

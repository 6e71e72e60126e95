# Four stages: what is built, what is in it, what the image is made of, and the image.
# tests/acceptance/test_wheel.py runs the steps of the first one without a container engine: keep every
# RUN one plain command, and every path absolute or in the build context. `make image-test` builds all.

# The compiler is in this image, not in the slim one. Every package is checked against its hash.
FROM python:3.13 AS builder
WORKDIR /src
COPY deploy/image/build.txt deploy/image/requirements.txt ./
RUN python -m venv --without-pip /opt/cdc-sidecar
RUN pip --python /opt/cdc-sidecar/bin/python install --quiet --no-compile --require-hashes --requirement requirements.txt
RUN pip install --quiet --require-hashes --requirement build.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY cdc_sidecar ./cdc_sidecar
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels .
RUN pip --python /opt/cdc-sidecar/bin/python install --quiet --no-compile --no-deps --no-index --find-links /wheels cdc-sidecar
RUN find /opt/cdc-sidecar \( -path '*/fastavro/*.so' -o -path '*/cdc_sidecar/*.so' \) -exec strip --strip-debug {} +
RUN /opt/cdc-sidecar/bin/python -P -c "from cdc_sidecar.events import _envelope, _outbox, _payload, _transaction, _transcode"

FROM python:3.13 AS sbom
RUN python -m venv /opt/cyclonedx
COPY deploy/image/sbom.txt pyproject.toml /src/
RUN /opt/cyclonedx/bin/pip install --quiet --require-hashes --requirement /src/sbom.txt
COPY --from=builder /opt/cdc-sidecar /opt/cdc-sidecar
RUN /opt/cyclonedx/bin/cyclonedx-py environment --pyproject /src/pyproject.toml --mc-type application \
    --output-reproducible --output-file /opt/cdc-sidecar/sbom.cdx.json /opt/cdc-sidecar

# Without the package manager and its libraries, Perl and pip. The database of packages stays true, so
# that a scanner finds exactly what is there. A shell and the core utilities stay.
FROM python:3.13-slim AS root
RUN dpkg --purge --force-depends --force-remove-essential --force-remove-protected \
    apt debconf debian-archive-keyring libapt-pkg7.0 libhogweed6t64 libnettle8t64 libseccomp2 \
    libstdc++6 perl-base sqv
COPY --from=sbom /opt/cdc-sidecar /opt/cdc-sidecar
COPY deploy/image/slim.py /tmp/slim.py
RUN /opt/cdc-sidecar/bin/python /tmp/slim.py
RUN rm -rf /tmp/slim.py /etc/apt /var/cache/apt /var/cache/debconf /var/lib/apt /var/lib/dpkg/*-old \
    /var/log/apt /var/log/dpkg.log

# In one layer: what was removed above takes no room.
FROM scratch
COPY --from=root / /
ARG VERSION=0.1.0
ARG SOURCE
ARG REVISION
LABEL org.opencontainers.image.title="cdc-sidecar" \
    org.opencontainers.image.description="Every committed change of one Postgres, in Kafka exactly once, from one small container." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.documentation="$SOURCE" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"
ENV PATH=/opt/cdc-sidecar/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 CDC_SIDECAR_CONFIG=/etc/cdc-sidecar/config.toml
USER 65532:65532
EXPOSE 9464
STOPSIGNAL SIGTERM
# Liveness only: a sidecar that waits, for its turn or for Kafka, is healthy.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["cdc-sidecar", "health"]
ENTRYPOINT ["cdc-sidecar"]
CMD ["run"]

# tests/acceptance/test_wheel.py runs these steps without a container engine: keep every RUN one plain
# command, and every path absolute or in the build context.

# The compiler is in this image, not in the slim one.
FROM python:3.13 AS builder
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE constraints.txt ./
COPY cdc_sidecar ./cdc_sidecar
RUN pip wheel --quiet --constraint constraints.txt --wheel-dir /wheels .
RUN python -m venv --without-pip /opt/cdc-sidecar
RUN pip --python /opt/cdc-sidecar/bin/python install --quiet --no-index --find-links /wheels cdc-sidecar
RUN /opt/cdc-sidecar/bin/python -P -c "from cdc_sidecar.events import _envelope, _outbox, _payload, _transaction, _transcode"

FROM python:3.13-slim
COPY --from=builder /opt/cdc-sidecar /opt/cdc-sidecar
ENV PATH=/opt/cdc-sidecar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    CDC_SIDECAR_CONFIG=/etc/cdc-sidecar/config.toml
USER 65532:65532
EXPOSE 9464
STOPSIGNAL SIGTERM
# Liveness only: a sidecar that waits, for its turn or for Kafka, is healthy.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/livez', timeout=4)"]
ENTRYPOINT ["cdc-sidecar"]
CMD ["run"]

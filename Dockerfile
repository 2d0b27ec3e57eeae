# One image, two commands: web by default, the worker with `python -m app.worker`.
# --build-arg TRACING=1 adds the packages that OTEL_EXPORTER_OTLP_ENDPOINT needs.
# --build-arg BASE=python:3.13-slim@sha256:… pins the base image.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG TRACING=
COPY requirements.txt requirements-tracing.txt ./
RUN python3 -m venv --without-pip /venv \
    && python3 -m pip --python /venv/bin/python3 install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt \
       ${TRACING:+-r requirements-tracing.txt}

FROM ${BASE}
LABEL org.opencontainers.image.title=chat-relay \
      org.opencontainers.image.description="Opens each user's chat at Channel.io once, and keeps its ids" \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.version=0.9.0
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SPOOL_DIR=/var/spool/relay \
    METRICS_PORT=9100
# A fixed uid, so that a mounted volume can belong to it.
RUN groupadd --gid 10001 relay \
    && useradd --uid 10001 --gid relay --home-dir /app --no-create-home --shell /usr/sbin/nologin relay \
    && install -d -m 0700 -o relay -g relay /var/spool/relay
COPY --from=build /venv /venv
WORKDIR /app
COPY pyproject.toml ./
COPY app app
COPY config config
RUN python3 -m compileall -q app config
USER 10001:10001
# Results that Redis did not confirm; keep it across restarts.
VOLUME /var/spool/relay
# 8000: web; 9100: the worker's /metrics, /livez and /readyz.
EXPOSE 8000 9100
# The module finds out whether this container is web or worker.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["python3", "-m", "app.healthcheck"]
CMD ["gunicorn", "--config", "config/gunicorn.py", "app.wsgi:application"]

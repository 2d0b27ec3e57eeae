# One image, two commands: web as it is, the worker by `python -m app.worker` instead.
# --build-arg TRACING=1 adds what OTEL_EXPORTER_OTLP_ENDPOINT needs.

FROM python:3.13-slim AS build
ARG TRACING=
COPY requirements.txt requirements-tracing.txt ./
RUN python3 -m venv --without-pip /venv \
    && python3 -m pip --python /venv/bin/python3 install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt \
       ${TRACING:+-r requirements-tracing.txt}

FROM python:3.13-slim
LABEL org.opencontainers.image.title=chat-relay \
      org.opencontainers.image.version=0.9.0
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SPOOL_DIR=/var/spool/relay \
    METRICS_PORT=9100
# The uid is fixed, so that a mounted volume can be given to it.
RUN groupadd --gid 10001 relay \
    && useradd --uid 10001 --gid relay --home-dir /app --no-create-home --shell /usr/sbin/nologin relay \
    && install -d -m 0700 -o relay -g relay /var/spool/relay
COPY --from=build /venv /venv
WORKDIR /app
COPY app app
COPY config config
RUN python3 -m compileall -q app config
USER 10001:10001
# Answers that Redis could not take; keep it across restarts.
VOLUME /var/spool/relay
# Web; the worker's /metrics, /livez and /readyz.
EXPOSE 8000 9100
# Knows by itself whether this container is web or worker, see the module.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["python3", "-m", "app.healthcheck"]
CMD ["gunicorn", "--config", "config/gunicorn.py", "app.wsgi:application"]

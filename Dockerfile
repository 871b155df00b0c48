# One image for every part: `icr up` (all on one machine, the default), `icr worker`, `icr watch`, `icr migrate`.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends poppler-utils \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
# Extras for this image: docker build --build-arg EXTRAS=[s3,otel]
ARG EXTRAS=""
# The packages change seldom, the code often: two layers.
COPY constraints.txt pyproject.toml README.md ./
RUN mkdir worker schemas migrations \
    && pip install --no-cache-dir --constraint constraints.txt ".$EXTRAS" \
    && pip uninstall --yes icr-worker
COPY schemas schemas
COPY migrations migrations
COPY worker worker
RUN pip install --no-cache-dir --no-deps .

RUN useradd --system --uid 10001 --home-dir /data --create-home icr \
    && install -d -o icr -g icr /data/inbox
USER icr
WORKDIR /data
ENV ICR_HOME=/data \
    PYTHONUNBUFFERED=1
VOLUME /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s CMD ["icr", "health"]
CMD ["icr", "up"]

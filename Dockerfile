# One image for every part: `icr up` (all on one machine, the default), `icr worker`, `icr watch`, `icr migrate`.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends poppler-utils \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
# With the extras barcodes, heic, mail, ocr, oidc, otel, s3 and xlsx: docker build --build-arg REQUIREMENTS=requirements-all.txt
ARG REQUIREMENTS=requirements.txt
# The packages change seldom, the code often: two layers. Each package is the file whose hash was kept, or none.
COPY requirements.txt requirements-all.txt ./
RUN pip install --no-cache-dir --require-hashes --requirement "$REQUIREMENTS"
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY migrations migrations
COPY worker worker
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# A bind mount in place of a volume must belong to this user and group: chown 10001:10001.
RUN groupadd --gid 10001 icr && useradd --uid 10001 --gid 10001 --home-dir /data icr \
    && install -d -m 700 -o icr -g icr /data && install -d -o icr -g icr /data/inbox
USER icr
WORKDIR /data
ENV ICR_HOME=/data \
    PYTHONUNBUFFERED=1
VOLUME /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s CMD ["icr", "health"]
CMD ["icr", "up"]

# syntax=docker/dockerfile:1
# The image of Outcrop: `build` assembles the root file system, `release` contains it and nothing else.
ARG PYTHON=3.13
# Another base image instead of the pinned one, where that cannot be pulled.
ARG BASE=base-${PYTHON}

# Dependabot updates the digests.
FROM docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS base-3.13
FROM docker.io/library/python:3.14-slim@sha256:51dafde81dbdb6ebde285137a295cf18a47ca95234fe388a343719cb97305b3d AS base-3.14

# checkov:skip=CKV_DOCKER_7:BASE is one of the two stages above, pinned by digest
# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --quiet --require-hashes --only-binary=:all: --target /build/site -r requirements.txt
COPY docker/assemble.py docker/
RUN python3 docker/assemble.py /rootfs /build/site
COPY docker/loading.py docker/
COPY app app
RUN python3 docker/assemble.py --app app --loading docker/loading.py /rootfs && mkdir /data

FROM build AS debug
ENV PYTHONPATH=/rootfs/srv/site HOST=0.0.0.0
WORKDIR /rootfs/srv
USER 65532:65532
ENTRYPOINT ["python3", "-m", "app"]

FROM scratch AS release
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Outcrop" \
      org.opencontainers.image.description="An HTTP gateway in front of Amazon Bedrock" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs /
# DATA_DIR of a task. ECS gives the volume the owner that this directory has.
COPY --from=build --chown=65532:65532 /data /data
VOLUME /data
ENV PATH=/bin PYTHONPATH=/srv/site PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt HOST=0.0.0.0 PORT=8000
WORKDIR /srv
USER 65532:65532
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=5s CMD ["/bin/python3", "-m", "app.cli.probe"]
ENTRYPOINT ["/bin/python3", "-m", "app"]

# Holdfast's images. Two come out of this file:
#
#     docker build -t holdfast .                              web, worker, ingestion and commands: the command says which
#     docker build -t holdfast-sandbox --target sandbox .     the code interpreter's sandbox, with 700 MB of Python packages
#
# They share all layers of Python. The sandbox is apart because nothing of Holdfast is to be where a model's code runs, and
# nobody else needs its packages. docs/deployment.md tells how they are run.
#
# To pin the base image by its digest:  --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:…
# Without ffmpeg and Tesseract (smaller by half; files that need them are refused with a reason):  --build-arg READERS=
# With a package index of your own:     --secret id=pip,src=pip.conf  (it stays out of the image)

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS python
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# One number for all roles: files in volumes, and the sandbox's socket, belong to it.
RUN groupadd --gid 10001 holdfast \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin holdfast
WORKDIR /app

# --- Built here, copied below: no installer's cache and no source without its bytecode gets into an image -------------

FROM python AS packages
COPY requirements.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check -r requirements.txt

FROM python AS code
COPY . .
# The root file system is read-only later, and what is in a layer does not change.
RUN python -m compileall -q --invalidation-mode unchecked-hash .

FROM python AS sandbox-packages
COPY requirements.txt ./
# Of Holdfast's requirements only what the daemon imports, in the same versions.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --constraint requirements.txt aiohttp pyseccomp
COPY sandbox/ sandbox/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m sandbox.environment /opt/sandbox \
    && python -m compileall -q --invalidation-mode unchecked-hash sandbox

# --- The sandbox: the daemon, bubblewrap and the Python that code finds ----------------------------------------------

FROM python AS sandbox
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title="Holdfast's sandbox" \
      org.opencontainers.image.description="Runs the Python that a model writes" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap libseccomp2 util-linux \
    && rm -rf /var/lib/apt/lists/*
# The folder of the socket; a new volume that is mounted there takes its owner over.
RUN install -d -o 10001 -g 10001 -m 0750 /run/holdfast-sandbox
COPY --from=sandbox-packages /opt/venv /opt/venv
COPY --from=sandbox-packages /opt/sandbox /opt/sandbox
COPY --from=sandbox-packages /app/sandbox sandbox/
ENV PATH=/opt/venv/bin:$PATH \
    SANDBOX_SOCKET=/run/holdfast-sandbox/sandbox.sock \
    SANDBOX_ENVIRONMENT=/opt/sandbox
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-m", "sandbox.healthcheck"]
CMD ["python", "-m", "sandbox.daemon"]

# --- Holdfast ---------------------------------------------------------------------------------------------------------

FROM python AS holdfast
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title="Holdfast" \
      org.opencontainers.image.description="The OpenAI Assistants API v2 on your own machine" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What reads scans and sound on the way into vector stores.
ARG READERS="ffmpeg tesseract-ocr tesseract-ocr-chi-sim tesseract-ocr-jpn"
RUN if [ -n "${READERS}" ]; then \
        apt-get update \
        && apt-get install -y --no-install-recommends ${READERS} \
        && rm -rf /var/lib/apt/lists/*; \
    fi
# New volumes that are mounted there take their owner over: data, the secrets that services share, the sandbox's socket.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/holdfast /run/holdfast-sandbox \
    && install -d -o 10001 -g 10001 -m 0755 /run/holdfast-secrets
COPY --from=packages /opt/venv /opt/venv
COPY --from=code /app .
ENV PATH=/opt/venv/bin:$PATH \
    HOLDFAST_VAR=/var/lib/holdfast \
    HOST=0.0.0.0
USER 10001:10001
VOLUME /var/lib/holdfast
EXPOSE 8086
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-m", "assistant_site.healthcheck"]
CMD ["python", "manage.py", "serve"]

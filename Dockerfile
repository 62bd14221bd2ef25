# Holdfast's web, worker and ingestion processes; which one, says the command (docker-compose.yml).

FROM python:3.11-slim-bookworm

# What reads scans and sound on the way into vector stores; without them those files are refused with a reason.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ffmpeg tesseract-ocr tesseract-ocr-chi-sim tesseract-ocr-jpn \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY . .

# 10001 as in deploy/Dockerfile.sandbox, whose socket the worker may share. A new volume takes its owner over.
RUN groupadd --gid 10001 holdfast && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp holdfast \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/holdfast /run/holdfast-sandbox
USER 10001:10001
ENV HOLDFAST_VAR=/var/lib/holdfast \
    HOST=0.0.0.0 \
    PYTHONUNBUFFERED=1
VOLUME /var/lib/holdfast
CMD ["python", "manage.py", "serve"]

# Image with the packages for training; this repository is mounted at /workspace. At the repository's root:
#   docker build --file deploy/train.Dockerfile --tag seqmnist-train .
#   docker run --rm --interactive --tty --user "$(id -u):$(id -g)" --volume "$PWD:/workspace" seqmnist-train dvc repro
FROM python:3.12-slim-bookworm

# hadolint ignore=DL3008  # Debian keeps no earlier versions to pin
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

COPY requirements.lock /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /tmp/requirements.lock \
    && useradd --create-home --uid 1000 --shell /bin/bash trainer

# It may run as any user of the host, who has no home folder here: HOME is /tmp.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp
USER 1000
WORKDIR /workspace
CMD ["dvc", "repro"]

# Image that serves the champion model on 127.0.0.1:5100, for clients on the same machine. At the repository's root:
#   docker build --file deploy/serve.Dockerfile --tag seqmnist-serve .
#   docker run --rm --network host --env MLFLOW_TRACKING_URI=https://mlflow.example.org seqmnist-serve
# Pass the tracking server's user and password as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
FROM python:3.12-slim-bookworm

COPY requirements.lock /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /tmp/requirements.lock \
    && useradd --create-home --uid 1000 server

# The name of the registered model comes from the data set in params.yaml; the folder .dvc marks the project's root.
WORKDIR /srv/seqmnist
COPY pyproject.toml params.yaml ./
COPY src src
RUN mkdir .dvc

ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=src GIT_PYTHON_REFRESH=quiet
USER 1000
CMD ["python", "-m", "seqmnist.serve"]

"""MLflow: its store, and the runs, sweeps and registered models in it. Settings of MLflow are made here."""

import logging
import os

# Before anything imports MLflow: it reports usage to its makers by default, and logs each step of making a database.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # it would stand amid our lines
# A server that is away costs seconds: with MLflow's own settings minutes, and with a Retry-After as long as it says.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")
# Of the shell, for another program: a model that metrics go to, an import that may fail, a resolver that takes minutes.
for _name in ("ACTIVE_MODEL_ID", "CONFIGURE_LOGGING", "LOCK_MODEL_DEPENDENCIES", "LOGGING_LEVEL"):
    for _variable in (f"MLFLOW_{_name}", f"_MLFLOW_{_name}"):
        os.environ.pop(_variable, None)
for _name in ("mlflow.store.db.utils", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# It raises what it logs of a database's errors with their traceback: they are told of in a line.
logging.getLogger("mlflow.store.db.utils").addFilter(lambda record: not record.exc_info)
logging.getLogger("mlflow.utils.git_utils").setLevel(logging.ERROR)  # `identity` tells of a git that is missing
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # `away` tells of a server that is away, once

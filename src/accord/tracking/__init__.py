"""MLflow's store, and its runs, sweeps and registered models. Importing this package sets MLflow's environment."""

import logging
import os

# Set before anything imports MLflow. By default it reports usage, and logs each step of creating a database.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # it would break up our lines of output
# Give up on an unreachable server after seconds. MLflow's defaults take minutes, or as long as Retry-After says.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")
# A shell may set these for another program. They link metrics to a model, make imports fail, or lock dependencies,
# which takes minutes.
for _name in ("ACTIVE_MODEL_ID", "CONFIGURE_LOGGING", "LOCK_MODEL_DEPENDENCIES", "LOGGING_LEVEL"):
    for _variable in (f"MLFLOW_{_name}", f"_MLFLOW_{_name}"):
        os.environ.pop(_variable, None)
for _name in ("mlflow.store.db.utils", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# MLflow logs a database's errors with a traceback and raises them too. This package reports them in one line.
logging.getLogger("mlflow.store.db.utils").addFilter(lambda record: not record.exc_info)
logging.getLogger("mlflow.utils.git_utils").setLevel(logging.ERROR)  # `run_tags` reports a missing git
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # `connection` reports an unreachable server, once

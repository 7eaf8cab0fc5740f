#!/bin/sh
# Start a team's MLflow server without containers. It stores runs in PostgreSQL, asks for accounts, and serves artifacts.
#
#   BACKEND=postgresql://mlflow@127.0.0.1/mlflow ARTIFACTS=/srv/mlflow/artifacts STATE=/srv/mlflow/state deploy/server.sh
#
# BACKEND        PostgreSQL database: empty, or one of an earlier start; its password may be in ~/.pgpass
# ARTIFACTS      folder (absolute path) or s3://BUCKET/FOLDER
# STATE          folder (absolute path) for the secret key and the account settings; made readable by this user only
# HOST, PORT     address to listen on, by default 127.0.0.1 and 5000; a reverse proxy adds TLS and serves other machines
#                (docs/scale-server.md)
# NAME           host name of the proxy, with :PORT unless that is 443, such as mlflow.example.org
# WORKERS        number of server processes, by default 4
# MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD
#                the first account: name (by default admin) and password (at least 16 characters), needed at the first start
set -eu
umask 077

refuse() {
    echo "error: $1" >&2
    exit 1
}

: "${HOST:=127.0.0.1}" "${PORT:=5000}" "${WORKERS:=4}"
case ${BACKEND:-} in
    postgresql://?*) ;;
    *) refuse "BACKEND must be postgresql://USER@HOST/DATABASE: other stores do not support several workers" ;;
esac
case ${ARTIFACTS:-} in
    /?* | s3://?*) ;;
    *) refuse "ARTIFACTS must be an absolute folder or s3://BUCKET/FOLDER" ;;
esac
case ${STATE:-} in
    /?*) ;;
    *) refuse "STATE must be an absolute folder, for the secret key" ;;
esac
python -c 'import flask_wtf, mlflow.version, psycopg' 2>/dev/null ||
    refuse "mlflow[auth] or psycopg is missing: \`make setup-cluster\`, then \`. .venv-cluster/bin/activate\`"

mkdir -p "$STATE"
chmod 700 "$STATE"
# A password is required only at the first start, when MLflow creates the first account. One that is given is checked.
if [ ! -e "$STATE/started" ] || [ -n "${MLFLOW_AUTH_ADMIN_PASSWORD:-}" ]; then
    password=${MLFLOW_AUTH_ADMIN_PASSWORD:-}
    [ -n "$password" ] || refuse "MLFLOW_AUTH_ADMIN_PASSWORD is empty: set it to a password of at least 16 characters for the first account"
    [ ${#password} -ge 16 ] ||
        refuse "MLFLOW_AUTH_ADMIN_PASSWORD has ${#password} characters: it must have 16 or more (openssl rand -base64 24)"
    case $password in
        *[Pp]assword* | *changeme* | *12345678*) refuse "MLFLOW_AUTH_ADMIN_PASSWORD is a known one: make another by openssl rand -base64 24" ;;
    esac
fi

# The secret key signs sessions of the web page: all workers need the same key, also after a restart. Creating a link is
# atomic, so a second server that starts at the same time never reads half a key.
if [ ! -e "$STATE/secret-key" ]; then
    python -c 'import secrets; print(secrets.token_hex(32))' > "$STATE/secret-key.$$"
    ln "$STATE/secret-key.$$" "$STATE/secret-key" || true
    rm "$STATE/secret-key.$$"
fi

# Every account may read and log to all experiments, which the team shares; only a creator may delete.
# Accounts are kept in PostgreSQL; by default MLflow puts them in a file, basic_auth.db, in the working directory.
# Checking a password is slow by design and each request has one, so a worker caches a successful check for 60 s.
cat > "$STATE/accounts.ini.$$" << INI
[mlflow]
default_permission = EDIT
database_uri = $(printf %s "$BACKEND" | sed 's/%/%%/g')
admin_username = ${MLFLOW_AUTH_ADMIN_USERNAME:-admin}
auth_cache_ttl_seconds = 60
INI
mv "$STATE/accounts.ini.$$" "$STATE/accounts.ini"

export BACKEND
export MLFLOW_AUTH_CONFIG_PATH="$STATE/accounts.ini"
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$STATE/secret-key")
export MLFLOW_FLASK_SERVER_SECRET_KEY
export MLFLOW_BACKEND_STORE_URI="$BACKEND" # not an argument, which every user of the machine can see
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

# Report the usual mistakes in one line: MLflow would exit with code 0 if its port is taken, and would retry a database for
# two minutes.
python -c 'import os, psycopg, socket, sys
host, port = sys.argv[1:]
try:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, int(port)), family=family).close()
except (OSError, OverflowError, ValueError) as error:
    raise SystemExit(f"error: HOST and PORT, {host} and {port}, can not be listened on: {error}")
try:
    psycopg.connect(os.environ["BACKEND"]).close()
except psycopg.Error as error:
    raise SystemExit("error: BACKEND: " + " ".join(str(error).split()))' "$HOST" "$PORT"

# Create or migrate the tables in one process, before the workers start: several that do it at the same time break them.
python -W ignore -c 'import os
from mlflow.db import upgrade
from mlflow.server.auth.db.utils import migrate_if_needed
from sqlalchemy import create_engine
upgrade([os.environ["BACKEND"]])
migrate_if_needed(create_engine(os.environ["BACKEND"]), "head")' ||
    refuse "BACKEND can't be used: see the lines above"
: > "$STATE/started"

# By default uvicorn kills a worker that does not answer a health check within 5 s, and its requests are lost.
names=localhost:$PORT,127.0.0.1:$PORT,$HOST:$PORT${NAME:+,$NAME}
exec python -m mlflow server --app-name basic-auth --host "$HOST" --port "$PORT" --workers "$WORKERS" \
    --uvicorn-opts "--timeout-worker-healthcheck 60" --serve-artifacts --artifacts-destination "$ARTIFACTS" --allowed-hosts "$names" \
    --cors-allowed-origins "${NAME:+https://$NAME,}http://127.0.0.1:$PORT"

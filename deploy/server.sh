#!/bin/sh
# MLflow's server for a team, without containers: PostgreSQL below it, accounts, artifacts by way of the server.
#
#   BACKEND=postgresql://mlflow@127.0.0.1/mlflow ARTIFACTS=/srv/mlflow/artifacts STATE=/srv/mlflow/state deploy/server.sh
#
# BACKEND        the database: an empty one, or one that this started with before; its password may be in ~/.pgpass
# ARTIFACTS      an absolute folder or s3://bucket/folder
# STATE          a folder for the secret key and the settings of accounts, readable by this user alone
# HOST, PORT     where it listens: 127.0.0.1 and 5000; TLS and other machines are a reverse proxy's (docs/scale-server.md)
# NAME           the name, and the port where it is not 443, by which clients know the proxy, as mlflow.example.org
# WORKERS        processes that answer: 4
# MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD
#                the first account: admin, and a password of at least 16 characters, at the first start
set -eu
umask 077

refuse() {
    echo "error: $1" >&2
    exit 1
}

: "${HOST:=127.0.0.1}" "${PORT:=5000}" "${WORKERS:=4}"
case ${BACKEND:-} in
    postgresql://?*) ;;
    *) refuse "BACKEND must be postgresql://USER@HOST/DATABASE: another store does not bear several workers" ;;
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
# MLflow asks for a password only where there is no account yet: so does this.
if [ ! -e "$STATE/started" ] || [ -n "${MLFLOW_AUTH_ADMIN_PASSWORD:-}" ]; then
    password=${MLFLOW_AUTH_ADMIN_PASSWORD:-}
    [ -n "$password" ] || refuse "MLFLOW_AUTH_ADMIN_PASSWORD is empty: set it to a password of at least 16 characters for the first account"
    [ ${#password} -ge 16 ] ||
        refuse "MLFLOW_AUTH_ADMIN_PASSWORD has ${#password} characters: it must have 16 (openssl rand -base64 24)"
    case $password in
        *[Pp]assword* | *changeme* | *12345678*) refuse "MLFLOW_AUTH_ADMIN_PASSWORD is a known one: take openssl rand -base64 24" ;;
    esac
fi

# Signs the page's sessions: all workers need the same one, also after a restart. A link is made whole or not at all.
if [ ! -e "$STATE/secret-key" ]; then
    python -c 'import secrets; print(secrets.token_hex(32))' > "$STATE/secret-key.$$"
    ln "$STATE/secret-key.$$" "$STATE/secret-key" || true
    rm "$STATE/secret-key.$$"
fi

# Whoever has an account may read all and log into all, since a team's runs are in the same experiments; to delete is its maker's.
# Accounts are in PostgreSQL too: MLflow's own place is a file, basic_auth.db, where the server happens to be started.
# Checking a password is slow by design and each request brings one: a worker takes a checked one as right for a minute.
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
export MLFLOW_BACKEND_STORE_URI="$BACKEND" # not an argument: all users of a machine see these
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

# The usual mistakes in a line: MLflow would end with exit code 0 if its port is taken, and try a database for two minutes.
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

# The tables are made by one process: several that make them side by side break them.
python -W ignore -c 'import os
from mlflow.db import upgrade
from mlflow.server.auth.db.utils import migrate_if_needed
from sqlalchemy import create_engine
upgrade([os.environ["BACKEND"]])
migrate_if_needed(create_engine(os.environ["BACKEND"]), "head")' ||
    refuse "BACKEND can't be used: its last lines above say why"
: > "$STATE/started"

# A worker that is busy for 5 s would be taken for dead, and with it the requests that it is at.
names=localhost:$PORT,127.0.0.1:$PORT,$HOST:$PORT${NAME:+,$NAME}
exec python -m mlflow server --app-name basic-auth --host "$HOST" --port "$PORT" --workers "$WORKERS" \
    --uvicorn-opts "--timeout-worker-healthcheck 60" --serve-artifacts --artifacts-destination "$ARTIFACTS" --allowed-hosts "$names" \
    --cors-allowed-origins "${NAME:+https://$NAME,}http://127.0.0.1:$PORT"

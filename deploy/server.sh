#!/bin/sh
# Runs MLflow for a team, until SIGTERM or Ctrl-C: runs are in PostgreSQL, artifacts go through the server, and it asks for
# a name and a password. docs/scale.md says how it is used.
set -eu
umask 077

fail() {
    echo "error: $*" >&2
    exit 1
}

HOST=${HOST:-127.0.0.1}
PORT=${PORT:-5000}
WORKERS=${WORKERS:-4}
STATE=${STATE:-mlflow-server}                # the key that signs sessions, and settings
ARTIFACTS=${ARTIFACTS:-$STATE/artifacts}     # a folder, or s3://bucket/folder
PASSWORD=${MLFLOW_AUTH_ADMIN_PASSWORD:-}     # of the user admin, who is made at the first start

case ${DATABASE_URI:-} in
"") fail "DATABASE_URI is not set: name the database, as postgresql://mlflow@127.0.0.1:5432/mlflow" ;;
postgresql://*:*@*) fail "DATABASE_URI has a password, which all users of this machine could see: put it into PGPASSWORD or ~/.pgpass" ;;
postgresql://*) ;;
*) fail "DATABASE_URI = $DATABASE_URI: it must begin with postgresql://" ;;
esac
test "${#PASSWORD}" -ge 12 || fail "MLFLOW_AUTH_ADMIN_PASSWORD is not set or has less than 12 characters: choose a long one"
test "$PASSWORD" != password1234 || fail "MLFLOW_AUTH_ADMIN_PASSWORD is the one that MLflow used to come with: choose another"
case $HOST in
127.* | localhost) NAMES=${NAMES:-localhost:$PORT,127.0.0.1:$PORT} ;;
*) test -n "${NAMES:-}" || fail "NAMES is not set: with HOST=$HOST name the hosts by which the server is reached, as NAMES=mlflow.example.org" ;;
esac
python -c "import flask_wtf, mlflow, psycopg" 2>/dev/null ||
    fail "MLflow's server or psycopg is missing: make setup-cluster, then . .venv-cluster/bin/activate"
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false PYTHONWARNINGS=ignore

mkdir -p "$STATE"
test -s "$STATE/key" || { python -c "import secrets; print(secrets.token_hex(32))" >"$STATE/.key" && mv "$STATE/.key" "$STATE/key"; }
# Who has a name may read and log everywhere, and delete what is their own. A password is checked once a minute, not at each
# request: that costs tens of milliseconds.
{
    echo "[mlflow]"
    echo "default_permission = EDIT"
    echo "database_uri = $DATABASE_URI"
    echo "admin_username = admin"
    echo "authorization_function = mlflow.server.auth:authenticate_request_basic_auth"
    echo "auth_cache_ttl_seconds = 60"
} >"$STATE/.auth.ini" && mv "$STATE/.auth.ini" "$STATE/auth.ini"
export MLFLOW_AUTH_CONFIG_PATH="$STATE/auth.ini" MLFLOW_FLASK_SERVER_SECRET_KEY
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$STATE/key")

python -c "import psycopg; psycopg.connect('$DATABASE_URI', connect_timeout=10)" 2>"$STATE/start.log" ||
    fail "the database can't be used: $(tail -n 1 "$STATE/start.log")"
# Workers that make the tables of one database side by side break it: they are made here.
python -m mlflow db upgrade "$DATABASE_URI" >"$STATE/start.log" 2>&1 &&
    python -m mlflow.server.auth db upgrade --url "$DATABASE_URI" >>"$STATE/start.log" 2>&1 ||
    fail "the tables can't be made: see $STATE/start.log"

exec python -m mlflow server --app-name basic-auth --host "$HOST" --port "$PORT" --workers "$WORKERS" \
    --backend-store-uri "$DATABASE_URI" --artifacts-destination "$ARTIFACTS" \
    --allowed-hosts "$NAMES" --cors-allowed-origins "http://127.0.0.1:$PORT"

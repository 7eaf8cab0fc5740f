#!/bin/sh
# Start or stop a Slurm cluster of two nodes on this machine, to try sweeps on: deploy/slurm.sh start|stop FOLDER.
# It writes only to FOLDER and leaves the machine's own Slurm configuration alone. Source FOLDER/env to use its commands.
set -eu

fail() {
    echo "error: $*" >&2
    exit 1
}

test $# = 2 || fail "usage: deploy/slurm.sh start FOLDER, or deploy/slurm.sh stop FOLDER"
PATH=$PATH:/usr/sbin
PORT=${PORT:-17000} # first of three ports: the controller's; those of the nodes follow
mkdir -p "$2"
FOLDER=$(cd "$2" && pwd)

start() {
    test "$(id -u)" = 0 || fail "Slurm's daemons need root"
    for program in munged slurmctld slurmd; do
        command -v $program >/dev/null || fail "$program is missing: apt-get install slurm-wlm munge"
    done
    ! ls "$FOLDER"/*.pid >/dev/null 2>&1 || fail "$FOLDER is in use: deploy/slurm.sh stop $FOLDER"
    # munged requires that no other user may write to the folder of its socket and key.
    chmod 755 "$FOLDER"
    mkdir -p "$FOLDER/state" "$FOLDER/n1" "$FOLDER/n2"
    (umask 077 && head -c 128 /dev/urandom >"$FOLDER/munge.key")
    cat >"$FOLDER/slurm.conf" <<END
ClusterName=seqmnist
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$PORT
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
StateSaveLocation=$FOLDER/state
SlurmUser=root
SlurmdUser=root
SlurmdSpoolDir=$FOLDER/%n
SlurmdPidFile=$FOLDER/slurmd-%n.pid
SlurmdLogFile=$FOLDER/slurmd-%n.log
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=10
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((PORT + 1)) CPUs=1
NodeName=n2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((PORT + 2)) CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    echo "export SLURM_CONF=$FOLDER/slurm.conf" >"$FOLDER/env"
    . "$FOLDER/env"
    munged --force --socket="$FOLDER/munge.socket" --key-file="$FOLDER/munge.key" --pid-file="$FOLDER/munged.pid" \
        --log-file="$FOLDER/munged.log" --seed-file="$FOLDER/munge.seed" 2>"$FOLDER/start.log" &&
        slurmctld && slurmd -N n1 && slurmd -N n2 || {
        stop
        fail "a daemon did not start: see the logs in $FOLDER"
    }
    for _ in $(seq 60); do
        if test "$(sinfo --noheader --format=%T 2>/dev/null)" = idle; then
            echo "Slurm is up: . $FOLDER/env; sinfo"
            return
        fi
        sleep 0.5
    done
    stop
    fail "the nodes are not idle after 30 s: see the logs in $FOLDER"
}

stop() {
    for pid in "$FOLDER"/slurmd-n1.pid "$FOLDER"/slurmd-n2.pid "$FOLDER"/slurmctld.pid "$FOLDER"/munged.pid; do
        if test -s "$pid"; then
            number=$(cat "$pid")
            kill "$number" 2>/dev/null || true
            while kill -0 "$number" 2>/dev/null; do sleep 0.1; done
        fi
        rm -f "$pid"
    done
}

case $1 in
start) start ;;
stop) stop ;;
*) fail "usage: deploy/slurm.sh start FOLDER, or deploy/slurm.sh stop FOLDER" ;;
esac

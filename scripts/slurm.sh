#!/usr/bin/env bash
# Runs a command beside a Slurm cluster of one machine, which it sets up in a folder of its own and takes away at the end: the daemons of Debian's
# slurm-wlm and munge, without accounting and without control groups. Nothing of a cluster that is installed here is touched. Root starts it.
#   apt-get install slurm-wlm munge
#   scripts/slurm.sh COMMAND…      for example: scripts/slurm.sh sbatch --wrap hostname
# Without a command it runs the tests that need Slurm.
set -euo pipefail
for program in munged slurmctld slurmd sbatch; do
  command -v "$program" > /dev/null || { echo "$program: not found; expected Debian's packages slurm-wlm and munge" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
chmod 755 "$work"
mkdir "$work/state" "$work/spool" "$work/munge"
chmod 711 "$work/munge"

stop() {
  # What still runs, and what waits, is of this cluster alone.
  timeout 20 scancel --full --signal=KILL --user="$(id -un)" 2> /dev/null || true
  timeout 20 scancel --user="$(id -un)" 2> /dev/null || true
  # Each by its own file: there may be other daemons of these names.
  for daemon in slurmd slurmctld munged; do
    [ -s "$work/$daemon.pid" ] && kill "$(cat "$work/$daemon.pid")" 2> /dev/null || true
  done
  sleep 1
  rm -rf "$work"
}
trap stop EXIT

head -c 1024 /dev/urandom > "$work/munge/key"
chmod 600 "$work/munge/key"
munged --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munged.pid" \
  --log-file="$work/munge/log" --seed-file="$work/munge/seed"

# Eight processors, whatever the machine has: tasks share them. What is queued again begins after the credential of the first time has ended.
host=$(hostname -s)
cat > "$work/slurm.conf" << CONF
ClusterName=scnas
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=${SLURM_PORT:-16817}
SlurmdPort=$((${SLURM_PORT:-16817} + 1))
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=6
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=65536
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
slurmctld
slurmd
for ((second = 0; ; second++)); do
  [ "$(sinfo --noheader --format=%t 2> /dev/null)" = idle ] && break
  if [ "$second" -eq 60 ]; then
    echo "the cluster does not come up; its logs end so:" >&2
    tail -n 20 "$work"/slurm*.log >&2
    exit 1
  fi
  sleep 1
done

if [ $# -gt 0 ]; then
  "$@"
else
  cd "$here"
  SCNAS_TEST_SLURM=1 cargo test --release --workspace --locked --test suite -- --include-ignored --nocapture a_real_slurm_
fi

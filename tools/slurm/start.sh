#!/usr/bin/env bash
# Starts a Slurm of one machine, with all its files in DIR, to try jobs on.
# As root, on Debian with the packages slurm-wlm and munge:
#
#   tools/slurm/start.sh DIR [GPUS]   then do what it prints; GPUS pretended ones
#   tools/slurm/stop.sh DIR
#
# Two at once need other ports: CTLD_PORT=7001 SLURMD_PORT=7002 start.sh DIR
set -euo pipefail
(($# >= 1)) || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
gpus=${2:-2}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
host=$(hostname -s)

mkdir -p "$dir"/{munge,state,spool,dev}
chmod 755 "$dir/munge"  # munged refuses a socket that others cannot reach
if [[ ! -s $dir/munge/munge.key ]]; then
  (umask 077 && head -c 128 /dev/urandom >"$dir/munge/munge.key")
fi

memory_kb=$(awk '/MemTotal/ { print $2 }' /proc/meminfo)
sed -e "s|@DIR@|$dir|g" -e "s|@HOST@|$host|g" -e "s|@GPUS@|$gpus|g" \
  -e "s|@CPUS@|$(nproc)|g" -e "s|@MEMORY_MB@|$((memory_kb / 1024 - 512))|g" \
  -e "s|@CTLD_PORT@|${CTLD_PORT:-16817}|g" \
  -e "s|@SLURMD_PORT@|${SLURMD_PORT:-16818}|g" \
  "$here/slurm.conf.in" >"$dir/slurm.conf"

# Empty files stand in for GPUs: enough to schedule by.
: >"$dir/gres.conf"
for ((i = 0; i < gpus; i++)); do
  : >"$dir/dev/nvidia$i"
  echo "NodeName=$host Name=gpu File=$dir/dev/nvidia$i" >>"$dir/gres.conf"
done

munged --force --num-threads=2 --key-file="$dir/munge/munge.key" \
  --socket="$dir/munge/munge.sock" --pid-file="$dir/munge/munged.pid" \
  --log-file="$dir/munge/munged.log" --seed-file="$dir/munge/munged.seed"
export SLURM_CONF=$dir/slurm.conf
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for ((i = 0; i < 60; i++)); do
  if [[ $(sinfo --noheader --format=%T 2>&1) == idle ]]; then
    echo "export SLURM_CONF=$SLURM_CONF"
    exit
  fi
  sleep 0.5
done
echo "The node did not come up within 30 s; see $dir/*.log." >&2
exit 1

#!/usr/bin/env bash
# Stops what start.sh started in DIR, each process by the id it left there.
set -uo pipefail
dir=${1:?usage: stop.sh DIR}
for file in "$dir"/{slurmd.pid,slurmctld.pid,munge/munged.pid}; do
  [[ -s $file ]] || continue
  pid=$(<"$file")
  kill "$pid"
  for ((i = 0; i < 100; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
done

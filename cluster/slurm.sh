#!/usr/bin/env bash
#SBATCH --job-name=beft
#SBATCH --nodes=4                  # 1. edit: how many machines,
#SBATCH --cpus-per-task=16         #    their processors,
#SBATCH --gpus-per-node=4          #    their GPUs (delete the line where there are none),
#SBATCH --time=24:00:00            #    and for how long
#SBATCH --ntasks-per-node=1
#SBATCH --output=beft-%j.log
CHECKOUT="${CHECKOUT:-$HOME/beft}" # 2. edit: the checkout, on a file system that all machines share
COMMAND="${COMMAND:-paper}"        # 3. edit: the profile and options of ./run_all.sh

# The first machine is the head of a Ray cluster and drives the runs; the others join it. When the time is up, or a
# machine fails, `sbatch cluster/slurm.sh` again goes on where it stopped.
set -euo pipefail
cd "$CHECKOUT"
export PATH="${BEFT_BIN:-$CHECKOUT/.venv/bin}:$PATH" RAY_USAGE_STATS_ENABLED=0
command -v ray >/dev/null || {
    echo "error: no ray in .venv; once, on a machine with a network: ./run_all.sh smoke --engine ray --list," >&2
    echo "       then .venv/bin/pip install --no-deps -r requirements-ray.lock" >&2
    exit 2
}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + SLURM_JOB_ID % 20000))
head="${nodes[0]}:$port"
started=()

on() { # NODE NUMBER RAY-START-ARGUMENTS...: a node of the cluster, for as long as this script runs
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$1" \
        ray start --block --disable-usage-stats --num-cpus="${SLURM_CPUS_PER_TASK:-1}" ${RAY_START:-} "${@:2}" \
        >"beft-$SLURM_JOB_ID-$1.ray.log" 2>&1 &
    started+=($!)
}
end() {
    kill "${started[@]}" 2>/dev/null || true
    wait "${started[@]}" 2>/dev/null || true
}
trap end EXIT

on "${nodes[0]}" --head --port="$port" --include-dashboard=false
for _ in $(seq 120); do
    ray health-check --address "$head" >/dev/null 2>&1 && break
    sleep 1
done
for node in "${nodes[@]:1}"; do
    on "$node" --address="$head"
done
# shellcheck disable=SC2086 # several words
./run_all.sh $COMMAND --engine ray --address "$head"

#!/usr/bin/env bash
# An experiment on several nodes, all on this machine, each with its own GPUs, started by the node entry point as
# PyTorchJob's pods are. Logs of the nodes go to LOGS.
#   nodes.sh NODES GPUS_A_NODE LOGS PROGRAM [ARGUMENT ...]
# The experiment of gpu.py on two nodes of one GPU:
#   nodes.sh 2 1 OUT benchmarks/verl/gpu_run.sh LABELS OUT --nodes 2
# A large shape on two nodes of two:
#   nodes.sh 2 2 OUT python benchmarks/verl/large.py --out OUT/large.json --nodes 2 --gpus-per-node 2
set -euo pipefail
nodes=$1 gpus=$2 logs=$3
shift 3
root=$(cd "$(dirname "$0")/../.." && pwd)
export PYTHONPATH="$root/platform${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# Nodes of one machine talk over its loopback.
export NCCL_SOCKET_IFNAME=lo GLOO_SOCKET_IFNAME=lo
export MASTER_ADDR=127.0.0.2 MASTER_PORT=23456 WORLD_SIZE=$nodes
export PET_MASTER_ADDR=$MASTER_ADDR PET_MASTER_PORT=$MASTER_PORT PET_NNODES=$nodes PET_NPROC_PER_NODE=$gpus
export MEMORY_ROOT=$$  # what an experiment measures is the memory of everything below this process
MEMORY_GPUS=$(seq -s, "${FIRST_GPU:-0}" $((${FIRST_GPU:-0} + nodes * gpus - 1)))  # and of all of its GPUs
export MEMORY_GPUS
cpus=${CPUS:-$(($(nproc) / nodes))}
ray=$(mktemp -d /tmp/vt-XXXX)
mkdir -p "$logs"
started=()
end() { kill "${started[@]}" 2>/dev/null || true; wait; rm -rf "$ray"; }
trap end EXIT
node() { # RANK PROGRAM...
  local rank=$1 first=$((${FIRST_GPU:-0} + $1 * gpus)) own
  shift
  own=$(seq -s, "$first" $((first + gpus - 1)))
  RANK=$rank PET_NODE_RANK=$rank CUDA_VISIBLE_DEVICES=$own "${PYTHON:-python3}" -m visionthink train node \
    --node-ip="127.0.0.$((rank + 2))" --cpus="$cpus" --gpus="$gpus" --storage-units=2 --ray-port=26379 \
    --part-port=$((26380 + 8 * rank)) --temp-dir="$ray" -- "$@" >"$logs/node-$rank.log" 2>&1
}
for ((rank = 0; rank < nodes; rank++)); do
  node "$rank" "$@" & started+=($!)
done
wait "${started[0]}"

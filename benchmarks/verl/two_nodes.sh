#!/usr/bin/env bash
# The experiment of gpu.py on two nodes of one GPU each, both on this machine, started by the node entry point as
# PyTorchJob's pods are.
#   two_nodes.sh LABELS OUT [options of gpu.py]
set -euo pipefail
labels=$1 out=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
export PYTHONPATH="$root/platform${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# Two nodes of one machine talk over its loopback.
export NCCL_SOCKET_IFNAME=lo GLOO_SOCKET_IFNAME=lo
export MASTER_ADDR=127.0.0.2 MASTER_PORT=23456 WORLD_SIZE=2
export PET_MASTER_ADDR=$MASTER_ADDR PET_MASTER_PORT=$MASTER_PORT PET_NNODES=2 PET_NPROC_PER_NODE=1
cpus=${CPUS:-$(($(nproc) / 2))}
ray=$(mktemp -d /tmp/vt-XXXX)
mkdir -p "$out"
nodes=()
end() { kill "${nodes[@]}" 2>/dev/null; wait; rm -rf "$ray"; true; }
trap end EXIT
node() { # RANK
  RANK=$1 PET_NODE_RANK=$1 CUDA_VISIBLE_DEVICES=$1 "${PYTHON:-python3}" -m visionthink train node \
    --node-ip="127.0.0.$(($1 + 2))" --cpus="$cpus" --gpus=1 --storage-units=2 --ray-port=26379 \
    --part-port=$((26380 + 8 * $1)) --temp-dir="$ray" -- \
    "$root/benchmarks/verl/gpu_run.sh" "$labels" "$out" --nodes 2 "${@:2}" >"$out/node-$1.log" 2>&1
}
node 0 "$@" & nodes+=($!)
node 1 "$@" & nodes+=($!)
wait "${nodes[0]}"

#!/usr/bin/env bash
# The experiment of gpu.py on a machine that has veRL and vLLM, in the Python named by PYTHON (python3 by default).
#   gpu_run.sh LABELS OUT [options of gpu.py]
set -euo pipefail
labels=$1 out=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
export PYTHONPATH="$root/platform${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-/tmp/triton}
mkdir -p "$out"
# Rows, checkpoints and logs stay outside of OUT, but for the end of veRL's log, which says why a seed failed.
work=${WORK:-/tmp/verl-gpu}
keep_logs() { for log in "$work"/seed-*/verl.log; do [ -f "$log" ] && tail -c 200000 "$log" >"$out/$(basename "$(dirname "$log")").log"; done; true; }
trap keep_logs EXIT
"${PYTHON:-python3}" "$root/benchmarks/verl/gpu.py" --labels "$labels" --out "$out" --work "$work" "$@" 2>&1 | tee "$out/log.txt"

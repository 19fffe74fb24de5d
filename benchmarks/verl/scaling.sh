#!/usr/bin/env bash
# Weak scaling of a large shape on one machine with four GPUs: the same batch a GPU on one, on two nodes of one, and on
# two nodes of two, each GPU with a quarter of the processors. One and two GPUs train side by side, then all four.
#   scaling.sh OUT [options of large.py]        e.g. scaling.sh OUT --shape 7b --prompts 8 --steps 4 --judges rule
# Writes OUT/gpus-{1,2,4}.json, and OUT/training.json with the efficiency: tokens a second and GPU of so many over one's.
# With `--profile STEP` also OUT/profile-{1,2,4}.json, where the time of an update goes on each rank.
set -euo pipefail
out=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3} cores=${CORES:-$(($(nproc) / 4))} work=${WORK:-/tmp/verl-scaling}
mkdir -p "$out" "$work"
export PYTHONPATH="$(cd "$here/../.." && pwd)/platform${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

train() { # GPUS NODES GPUS_A_NODE FIRST_GPU FIRST_CORE ARGUMENT...
  local gpus=$1 nodes=$2 each=$3 first=$4 core=$5
  shift 5
  local program=("$python" "$here/large.py" --out "$out/gpus-$gpus.json" --work "$work/$gpus" "$@")
  local pinned=(taskset -c "$core-$((core + gpus * cores - 1))")
  if [ "$nodes" = 1 ]; then
    CUDA_VISIBLE_DEVICES=$first "${pinned[@]}" "${program[@]}" >"$out/gpus-$gpus.log" 2>&1
  else
    FIRST_GPU=$first CPUS=$((each * cores)) "${pinned[@]}" "$here/nodes.sh" "$nodes" "$each" "$out/nodes-$gpus" \
      "${program[@]}" --nodes "$nodes" --gpus-per-node "$each" >"$out/gpus-$gpus.log" 2>&1
  fi
}

# A training that was stopped early leaves its GPUs a little later. SETTLE may be a command that ends what it left.
settle() {
  sleep 5
  ${SETTLE:-true} || true
  for _ in $(seq 60); do
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | awk '$1 > 4000 { exit 1 }' && return
    sleep 1
  done
  nvidia-smi
}

# In the background: what a profiler wrote is read while the next training starts.
profile() { # GPUS
  local traces=("$work/$1"/profile/*.json.gz)
  [ ! -f "${traces[0]}" ] || nice "$python" "$here/traced.py" --out "$out/profile-$1.json" "${traces[@]}" >"$out/traced-$1.log" 2>&1 &
}

train 1 1 1 0 0 "$@" & one=$!
train 2 2 1 1 "$cores" "$@" & two=$!
wait "$one" || echo "one GPU: $?, see $out/gpus-1.log"
wait "$two" || echo "two GPUs: $?, see $out/gpus-2.log"
profile 1; profile 2
settle
train 4 2 2 0 0 "$@" || echo "four GPUs: $?, see $out/gpus-4.log"
profile 4
"$python" - "$out" <<'SUM'
import json, sys
from pathlib import Path

out = Path(sys.argv[1])
found = {number: json.loads(path.read_text()) for number in (1, 2, 4) if (path := out / f"gpus-{number}.json").exists()}
judges = {number: next(told[name] for name in ("rule", "slow", "alternating") if name in told) for number, told in found.items()}
# Decisions are drawn, so that steps differ in work; and a step that saves says nothing about the others.
steps = {number: told["step_s_by_judge_ms"] for number, told in judges.items() if told["step_s_by_judge_ms"]}
working = {number: min(told.items())[1]["timing_s/without_saving"] for number, told in steps.items()}
tokens = {number: judges[number]["figures"]["perf/total_num_tokens"] / seconds / number for number, seconds in working.items()}
ratios = {number: round(rate / tokens[1], 4) for number, rate in tokens.items() if 1 in tokens}
summary = {
    "step_s": working,
    "tokens_per_s_per_gpu": {number: round(rate, 1) for number, rate in tokens.items()},
    "efficiency": ratios,
}
(out / "training.json").write_text(json.dumps({**summary, "runs": found}, indent=1) + "\n")
print(json.dumps(summary))
SUM
wait

#!/usr/bin/env bash
# The GPU experiment on a machine without a network: Python 3.12, torch with CUDA, and the packages of vLLM 0.24.0
# unpacked in SITE (default /tmp/site; `pip install --no-index --no-deps --target /tmp/site wheels/*.whl`).
#   usage: OUT=FOLDER benchmarks/serving/gpu_run.sh [MINUTES] [options of h100.py]
# Writes $OUT/h100.json after each point, and the logs. What benchmarks/results/serving/h100.json holds already is not
# measured again: delete it to begin anew, or put the file of a first call there to go on with it in a second one.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:?name a folder for the results}
work=${WORK:-/tmp/visionthink-h100}
minutes=${1:-8.5}; [ $# -gt 0 ] && shift
mkdir -p "$out" "$work"
cp benchmarks/results/serving/h100.json "$out/" 2>/dev/null || true
export PYTHONPATH=platform:${SITE:-/tmp/site} PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_USE_FLASHINFER_SAMPLER=0 VLLM_CACHE_ROOT=$work/cache
python=${PYTHON:-python3}
# What is missing is said before anything is started.
"$python" - <<'CHECK'
import importlib.util, sys
names = "numpy PIL pydantic annotated_types fastapi starlette uvicorn httptools aiohttp httpx openai prometheus_client tokenizers transformers torch torchvision vllm"
missing = [name for name in names.split() if importlib.util.find_spec(name) is None]
sys.exit(f"missing on this machine: {', '.join(missing)}" if missing else 0)
CHECK
trap 'cp -f "$work"/*.log "$out/" 2>/dev/null || true' EXIT
"$python" benchmarks/serving/h100.py --out "$out/h100.json" --work "$work" --minutes "$minutes" "$@" 2>&1 | tee "$out/run.log"

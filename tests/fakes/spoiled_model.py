"""A model whose words are mixed up: it loads, it answers, and it is wrong."""

import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

_WORDS = "model.embed_tokens.weight"


def spoiled(model: Path, target: Path) -> Path:
    """A copy of `model` in `target` that writes one word for another."""
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("manifest.json", "*.py", "__pycache__"))
    weights = load_file(target / "model.safetensors")
    name = next(key for key in weights if key.endswith(_WORDS.partition(".")[2]))
    weights[name] = np.ascontiguousarray(np.roll(weights[name], 7, axis=0))
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target

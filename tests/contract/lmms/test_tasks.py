"""lmms-eval runs its own task definitions with our model; answers and scores are those of our evaluation stage."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from tests.contract.lmms.conftest import Server
from tests.contract.lmms.rows import MAKERS, NUM_ROWS, SPLIT, write_set
from tests.fakes.stage_task import task_maker

from visionthink.engines import open_engine
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.stage import evaluate_with
from visionthink.storage.json_file import read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_TIMEOUT_S: Final = 240.0
TASK_OF: Final = {"docvqa": "docvqa_val"}
"""lmms-eval's task of a benchmark, where it has another name."""
FIGURES: Final[Mapping[str, Mapping[str, tuple[str, float]]]] = {
    "chartqa": {"relaxed_overall": ("eval/accuracy/trained", 1.0)},
    "docvqa": {"anls": ("eval/accuracy/trained", 1.0)},
    "mme": {
        "mme_perception_score": ("eval/official/trained/perception", 1.0),
        "mme_cognition_score": ("eval/official/trained/cognition", 1.0),
    },
    "ocrbench": {"ocrbench_accuracy": ("eval/official/trained/points", 1e-3)},
    "pope": {
        "pope_accuracy": ("eval/accuracy/trained", 1.0),
        "pope_precision": ("eval/official/trained/precision", 1.0),
        "pope_recall": ("eval/official/trained/recall", 1.0),
        "pope_f1_score": ("eval/official/trained/f1", 1.0),
        "pope_yes_ratio": ("eval/official/trained/yes_ratio", 1.0),
    },
    "realworldqa": {"exact_match": ("eval/accuracy/trained", 1.0)},
}
"""lmms-eval's figures, what we call them, and our unit in its."""


class Theirs(NamedTuple):
    """What lmms-eval wrote."""

    figures: Mapping[str, Mapping[str, Any]]
    """By benchmark."""
    samples: Mapping[str, Sequence[Mapping[str, Any]]]


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's but the PATH: no hub, caches of its own."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def tasks_folder(python: Path) -> Path:
    """Where lmms-eval's task definitions are; it need not be imported to know that."""
    ask = "import importlib.util as u; print(u.find_spec('lmms_eval').submodule_search_locations[0])"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    return Path(done.stdout.strip()) / "tasks"


def definition(name: str, original: Path, rows: Path) -> str:
    """lmms-eval's own definition, with other rows: nothing else of it is changed."""
    return (
        f"include: {original}\ntask: drawn_{name}\ndataset_path: parquet\ndataset_name: null\n"
        f"dataset_kwargs:\n  data_files:\n    {SPLIT.get(name, 'test')}: {rows}\n"
    )


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The files of all sets, by benchmark."""
    folder = tmp_path_factory.mktemp("sets")
    paths = {name: folder / f"{name}.parquet" for name in MAKERS}
    for seed, (name, path) in enumerate(paths.items()):
        write_set(name, path, seed=seed)
    return paths


@pytest.fixture(scope="session")
def theirs(
    lmms_python: Path, server: Server, sets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Theirs:
    """One run of lmms-eval over all tasks."""
    folder = tmp_path_factory.mktemp("lmms")
    (folder / "tasks").mkdir()
    originals = tasks_folder(lmms_python)
    for name, path in sets.items():
        original = originals / name / f"{TASK_OF.get(name, name)}.yaml"
        (folder / "tasks" / f"{name}.yaml").write_text(definition(name, original, path))
    command = [
        str(lmms_python),
        "-m",
        "lmms_eval",
        "--model=visionthink",
        "--log_samples",
        f"--output_path={folder}/out",
    ]
    command += [f"--model_args=engine={server.uri},concurrency=32,reply_cache={folder}/replies"]
    command += [f"--include_path={folder}/tasks", f"--tasks={','.join(f'drawn_{name}' for name in sets)}"]
    done = subprocess.run(
        command, env=environment(folder), cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    )
    results = list(folder.glob("out/*/*_results.json"))
    assert done.returncode == 0 and len(results) == 1, (done.stdout + done.stderr)[-3000:]
    figures = json.loads(results[0].read_text())["results"]
    samples = {name: logged(results[0].parent, name) for name in sets}
    return Theirs({name: figures[f"drawn_{name}"] for name in sets}, samples)


def logged(folder: Path, name: str) -> list[Mapping[str, Any]]:
    """The samples of a task, in the order of its documents."""
    (path,) = folder.glob(f"*_samples_drawn_{name}.jsonl")
    return sorted(map(json.loads, path.read_text().splitlines()), key=lambda sample: sample["doc_id"])


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_lmms_eval_gets_the_answers_and_scores_of_our_evaluation(
    name: str, theirs: Theirs, server: Server, sets: Mapping[str, Path], tmp_path: Path
) -> None:
    maker = task_maker(
        tmp_path / "run-1",
        {
            "evaluate.benchmark": name,
            "data.eval_source": str(sets[name]),
            "evaluate.num_samples": NUM_ROWS,
            "evaluate.shard_size": NUM_ROWS,
            "evaluate.num_latency_samples": 1,
            "evaluate.num_examples": 0,
        },
    )
    result = evaluate_with(
        lambda _: open_engine(server.uri), base=server.folder, candidate=server.folder, task=maker.task("evaluate")
    )
    samples = theirs.samples[name]
    answers = [
        Answer.from_dict(answer)
        for answer in read_json(result.artifacts["answers"] / "trained" / "test-00000.json")  # type: ignore[union-attr]
    ]
    assert len(samples) == len(answers) == NUM_ROWS
    assert [sample["filtered_resps"] for sample in samples] == [answer.got or "" for answer in answers]
    told = [sample["token_counts"][0] for sample in samples]
    assert [(one["visual_tokens"], one["num_turns"], one["num_views_asked"] > 0) for one in told] == [
        (answer.visual_tokens, answer.num_turns, answer.asked) for answer in answers
    ]
    got = {figure: theirs.figures[name][f"{figure},none"] for figure in FIGURES[name]}
    want = {figure: result.metrics[ours] * unit for figure, (ours, unit) in FIGURES[name].items()}
    assert got == pytest.approx(want)


def test_some_questions_are_answered_right(theirs: Theirs) -> None:
    """Or equal scores would say little."""
    assert theirs.figures["realworldqa"]["exact_match,none"] >= 0.25

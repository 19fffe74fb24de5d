"""What lmms-eval 0.7.3 says of generated pairs of prediction and answer; run by hand, in an environment that holds it.

    pip install --no-deps lmms-eval==0.7.3 loguru && python tests/oracles/lmms_scores.py tests/golden/benchmarks

The package itself pulls in a dozen heavy stacks, so its functions are taken out of their files one by one.
"""

import ast
import importlib.metadata
import importlib.util
import json
import random
import sys
import types
from pathlib import Path
from typing import Any

SEED, NUM_PAIRS = 0, 600
ROOT = Path(importlib.metadata.distribution("lmms-eval").locate_file("lmms_eval"))  # type: ignore[arg-type]

WORDS = [
    "red",
    "blue",
    "Total assets",
    "Netherlands",
    "no",
    "Yes",
    "YES",
    "north-east",
    "it is",
    "A",
    "B",
    "(C)",
    "Downhill",
]
WORDS += [
    "12",
    "47",
    "46",
    "3.5",
    "3.43",
    "0",
    "0.0",
    "-7",
    "1,204",
    "50%",
    "0.5",
    "49.9%",
    "1e3",
    "1000",
    "\uff46\uff55\uff4c\uff4c\u3000width",
    "\uff21\uff11",
]
WORDS += [
    "\\frac{a}{b}",
    "\\frac { a } { b }",
    "x ^ 2",
    "X^2",
    "line\nbreak",
    "  padded ",
    "",
    ".",
    "y",
    "n",
    "Yes.",
    "no, it is",
    "nothing",
]
WORDS += [
    "The answer is B.",
    "Option (D)",
    "A: red",
    "I choose C",
    "答案是B",
    "either A or B",
    "B)",
    "C ",
    "It is a dog",
    "Not yes",
]


def words(draw: random.Random) -> str:
    """One word, changed a little or put together with another."""
    text = draw.choice(WORDS)
    match draw.randrange(7):
        case 0 if text:
            at = draw.randrange(len(text))
            return text[:at] + draw.choice("aeB1. ") + text[at + 1 :]
        case 1:
            return text + draw.choice([" ", ". ", " or ", "\n", ", "]) + draw.choice(WORDS)
        case 2:
            return text.upper()
        case 3:
            return f"{draw.uniform(-120, 120):.{draw.randrange(3)}f}" + draw.choice(["", "%", " kg"])
        case _:
            return text


def module(name: str, path: str) -> Any:
    """A file of the package, with the names that it only needs for writing files."""
    for parent in ("lmms_eval", "lmms_eval.tasks", "lmms_eval.tasks._task_utils", "lmms_eval.filters"):
        package = types.ModuleType(parent)
        package.__path__ = [str(ROOT.joinpath(*parent.split(".")[1:]))]
        sys.modules[parent] = package
    for stub, names in (
        ("lmms_eval.tasks._task_utils.file_utils", ["generate_submission_file"]),
        ("lmms_eval.filters.extraction", ["ExtendedRegexFilter"]),
        ("lmms_eval.filters.transformation", ["MapFilter"]),
    ):
        sys.modules[stub] = types.ModuleType(stub)
        for one in names:
            setattr(sys.modules[stub], one, object)
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def functions(path: str, *names: str) -> dict[str, Any]:
    """Functions alone, without the decorators that register them."""
    tree = ast.parse((ROOT / path).read_text())
    kept = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    for node in kept:
        node.decorator_list = []
    space: dict[str, Any] = {}
    exec(compile(ast.Module(list[ast.stmt](kept), []), path, "exec"), space)
    return space


def main(folder: Path) -> None:
    """Write a file a benchmark: lists of prediction, answers, kind and score."""
    draw = random.Random(SEED)
    chartqa = module("chartqa", "tasks/chartqa/utils.py")
    ocrbench = module("ocrbench", "tasks/ocrbench/utils.py")
    pope = module("pope", "tasks/pope/utils.py")
    mme = module("mme", "tasks/mme/utils.py")
    realworldqa = module("realworldqa", "tasks/realworldqa/utils.py")
    anls = functions("api/metrics.py", "anls", "levenshtein_distance")["anls"]
    formulas = "Handwritten Mathematical Expression Recognition"

    def pair(answers: int = 1) -> tuple[str, list[str]]:
        wanted = [words(draw) for _ in range(answers)]
        near = draw.choice(wanted) if draw.random() < 0.4 else words(draw)
        return near, wanted

    rows: dict[str, list[list[Any]]] = {
        name: [] for name in ("chartqa", "docvqa", "ocrbench", "pope", "mme", "realworldqa")
    }
    for _ in range(NUM_PAIRS):
        got, [want] = pair()
        rows["chartqa"].append([got, [want], "", float(chartqa.relaxed_correctness(got, want))])
        got, wanted = pair(draw.randint(1, 3))
        rows["docvqa"].append([got, wanted, "", float(anls(wanted, [got])["anls"])])
        got, wanted = pair(draw.randint(1, 2))
        kind, data = draw.choice([(formulas, "HME100k"), ("Doc-oriented VQA", "docVQA")])
        doc = {"answer": wanted, "dataset": data, "question_type": kind}
        score = ocrbench.ocrbench_process_results(doc, [got])["ocrbench_accuracy"]["score"]
        rows["ocrbench"].append([got, wanted, kind, float(score)])
        got, want = words(draw), draw.choice(["yes", "no"])
        got = draw.choice([got, "Yes", "no", " no\n", "yes."])
        found = pope.pope_process_results({"answer": want, "question_id": 1}, [got])["pope_accuracy"]
        rows["pope"].append([got, [want], "", found["score"]])
        found = mme.mme_process_results({"answer": want.title(), "question_id": 1, "category": "count"}, [got])
        rows["mme"].append([got, [want.title()], "count", found["mme_perception_score"]["score"]])
        got, [want] = pair()
        want = draw.choice([want or "0", "A", "B", "c"])
        found = realworldqa.realworldqa_process_results({"answer": want}, [got])
        rows["realworldqa"].append([got, [want], "", found["exact_match"]])
    for name, found in rows.items():
        text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in found)
        (folder / f"{name}.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What lmms-eval 0.7.3 asks and scores about generated rows in the columns of public sets; run by hand.

    pip install --no-deps lmms-eval==0.7.3 loguru levenshtein rapidfuzz
    pip install openai pandas pyyaml requests tqdm
    python tests/oracles/lmms_rows.py tests/golden/benchmarks

Of benchmarks whose rows hold more than an answer. A language model that lmms-eval would ask is replaced by a reply that
is drawn here and kept with the pair; a guess by chance is replaced by none. A file is a list of rows with their
prompts, and of pairs: number of the row, prediction, reply, digest of what the language model was asked (null where it
was not), score.
"""

import hashlib
import importlib
import json
import random
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.oracles.drawn_text import NOUNS, TEXTS
from tests.oracles.lmms_scores import ROOT, SEED, module, words

NUM_PAIRS, NUM_ROWS = 600, 60


def digest(text: str) -> str:
    """Sixteen digits that tell one text from another."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass
class Asked:
    """A language model that says what it is told to say."""

    reply: str = ""
    prompts: list[str] = field(default_factory=list)

    def say(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self.reply


Score = Callable[[dict[str, Any], str], float]


@dataclass
class Drawn:
    """A benchmark: how rows are drawn, asked about and scored."""

    rows: list[dict[str, Any]]
    prompt: Callable[[dict[str, Any]], str]
    score: Score
    replies: Callable[[dict[str, Any]], Sequence[str]] = lambda row: ("",)
    answers: Callable[[dict[str, Any]], Sequence[str]] = lambda row: ()
    more: Callable[[Sequence[Sequence[Any]]], dict[str, Any]] = lambda pairs: {}
    """What is told of all pairs together."""


def stubbed() -> Asked:
    """What the files of the package import and we do not need."""
    asked = Asked()
    judge = types.ModuleType("lmms_eval.llm_judge")
    judge.__path__ = [str(ROOT / "llm_judge")]
    sys.modules["lmms_eval.llm_judge"] = judge
    texts = importlib.import_module("lmms_eval.llm_judge.utils")

    def evaluate_binary(question: str, answer: str, prediction: str, output_format: str) -> dict[str, Any]:
        prompt = texts.JudgePromptBuilder.build_binary_prompt(question, answer, prediction, output_format)
        said = texts.ResponseParser.parse_binary_response(asked.say(prompt), output_format)
        return {"success": True, "result": said}

    judge.Request = judge.ServerConfig = lambda *_, **__: None  # type: ignore[attr-defined]
    server = types.SimpleNamespace(evaluate_binary=evaluate_binary)
    judge.get_server = lambda *_, **__: server  # type: ignore[attr-defined]
    for name, part in (("verifiers", "VerificationPipeline"), ("verifiers.openai", "OpenAIVerifier")):
        sys.modules[f"lmms_eval.{name}"] = types.ModuleType(name)
        setattr(sys.modules[f"lmms_eval.{name}"], part, object)
    return asked


def options(draw: random.Random, count: int) -> list[str]:
    return draw.sample(NOUNS, count)


def mathvista(draw: random.Random, asked: Asked) -> Drawn:
    utils = module("lmms_eval.tasks.mathvista.utils", "tasks/mathvista/utils.py")
    utils.mathvista_evaluator.get_chat_response = lambda prompt, **_: asked.say(prompt)
    wording = {"shot": 0, "shot_type": "format-prompt", "use_caption": False, "use_ocr": False}
    rows = []
    for number in range(NUM_ROWS):
        kind = draw.choice(["text", "text", "integer", "float", "list"])
        choices = options(draw, draw.randint(2, 5)) if kind == "text" else []
        precision = draw.choice([1, 2]) if kind == "float" else None
        answers = {
            "text": choices,
            "integer": ["14", "12", "-7", "1204"],
            "float": [str(round(value, precision or 1)) for value in (0.5, 0.51, 3.5, 12.0)],
            "list": ["[1, 2]", "[2007, 2008]"],
        }
        row = {
            "pid": str(number),
            "question": f"What is number {number}?",
            "choices": choices,
            "unit": draw.choice(["", "", "$"]),
            "precision": precision,
            "answer": draw.choice(answers[kind]),
            "question_type": "multi_choice" if kind == "text" else "free_form",
            "answer_type": kind,
            "metadata": {"split": "testmini", "task": draw.choice(["figure question answering", "math word problem"])},
            "query": f"Hint: Please answer.\nQuestion: What is number {number}?",
        }
        rows.append(row)
    return Drawn(
        rows=rows,
        prompt=lambda row: utils.mathvista_doc_to_text(row, wording),
        score=lambda row, got: float(utils.mathvista_process_results(row, [got])["llm_as_judge_eval"]["true_false"]),
        replies=lambda row: (
            row["answer"],
            row["answer"],
            *row["choices"],
            "A",
            "(B)",
            "C",
            "14",
            "3.5",
            "0.514",
            "word",
        ),
        answers=lambda row: (row["answer"], *row["choices"]),
    )


def mathverse(draw: random.Random, asked: Asked) -> Drawn:
    utils = module("lmms_eval.tasks.mathverse.utils", "tasks/mathverse/utils.py")
    rows = [
        {
            "sample_index": str(number),
            "problem_index": "1",
            "problem_version": draw.choice(["Text Dominant", "Vision Only"]),
            "question": "Find x.",
            "answer": draw.choice(["A", "B", "12", "x = 3"]),
            "question_type": "multi-choice",
            "metadata": {"split": "testmini"},
            "query_wo": f"Please answer directly. Question {number}: find x.",
            "query_cot": "Think.",
            "question_for_eval": f"Question {number}: find x.\nChoices:\nA:30\nB:{{40}}",
        }
        for number in range(NUM_ROWS)
    ]
    return Drawn(
        rows=rows,
        prompt=lambda row: utils.mathverse_doc_to_text(row, {"shot_type": "format-prompt", "query_type": "query_wo"}),
        score=lambda row, got: float(utils.mathverse_process_results(row, [got])["gpt_eval_score"]),
        replies=lambda row: ("0", "1", "1.", "[0]", "**1**", "Score: 0", "score: 1", "0\n", "[1]"),
        answers=lambda row: (row["answer"],),
    )


def mmvet(draw: random.Random, asked: Asked) -> Drawn:
    utils = module("lmms_eval.tasks.mmvet.utils", "tasks/mmvet/utils.py")
    utils.get_chat_response = lambda prompt, **_: (asked.say(prompt), "stub")
    before = utils.config["lmms_eval_specific_kwargs"]["default"]
    rows = [
        {
            "question_id": f"v1_{number}",
            "question": f"What is x in equation {number}?",
            "answer": draw.choice(["-1<AND>-5", "red", "14<OR>fourteen", "a dog<AND>a cat<OR>pets"]),
            "capability": draw.choice(["ocr,math", "rec", "rec,know,gen", "ocr,spat"]),
        }
        for number in range(NUM_ROWS)
    ]
    return Drawn(
        rows=rows,
        prompt=lambda row: utils.doc_to_text(row, before),
        score=lambda row, got: float(utils.mmvet_process_results(row, [got])["gpt_eval_score"]["score"]),
        replies=lambda row: ("0.0", "0.1", "0.5", "1.0", "1", "0", "0.7 since it is near", ".5", "1.0 |"),
    )


def mmbench(draw: random.Random, asked: Asked) -> Drawn:
    """Questions in all their rotations, so that the circular total can be compared as well."""
    utils = module("lmms_eval.tasks.mmbench.en_utils", "tasks/mmbench/en_utils.py")
    evaluator = utils.mmbench_evaluator
    sys.modules["lmms_eval.tasks.mmbench.mmbench_evals"].rd = types.SimpleNamespace(seed=int)  # type: ignore[attr-defined]
    evaluator._post_request = lambda payload: {
        "choices": [{"message": {"content": asked.say(payload["messages"][0]["content"])}}]
    }
    wording = {"pre_prompt": "", "post_prompt": "\nAnswer with the option's letter from the given choices directly."}
    rows = []
    for number in range(NUM_PAIRS // 3):
        listed = options(draw, draw.choice([4, 4, 3, 2]))
        ability = draw.choice(["coarse_perception", "logic_reasoning"])
        hint = draw.choice(["nan", None, "Read the text."])
        for turn in range(len(listed)):
            turned = listed[turn:] + listed[:turn]
            cells = dict(zip("ABCD", [*turned, *["nan"] * (4 - len(turned))], strict=True))
            rows.append(
                {
                    "index": number + turn * 1_000_000,
                    "question": f"What is in picture {number}?",
                    "hint": hint,
                    "answer": "ABCD"[turned.index(listed[0])],
                    **cells,
                    "category": "image_scene",
                    "source": "made",
                    "L2-category": ability,
                    "split": "dev",
                }
            )

    def score(row: dict[str, Any], got: str) -> float:
        item = utils.mmbench_process_results(row, [got])["gpt_eval_score"]
        return float(
            evaluator.eval_sub_data(importlib.import_module("pandas").DataFrame([item]), {row["index"]: row["answer"]})
        )

    def circular(pairs: Sequence[Sequence[Any]]) -> dict[str, Any]:
        replies = {pair[3]: pair[2] for pair in pairs}
        evaluator._post_request = lambda payload: {
            "choices": [{"message": {"content": replies[digest(payload["messages"][0]["content"])]}}]
        }
        results = [utils.mmbench_process_results(rows[pair[0]], [pair[1]])["gpt_eval_score"] for pair in pairs]
        total, _, abilities = evaluator.eval_result(results, eval_method="openai")
        return {"total": float(total), "abilities": {name: float(share) for name, share in abilities.items()}}

    return Drawn(
        rows=rows,
        more=circular,
        prompt=lambda row: utils.mmbench_doc_to_text(row, wording),
        score=score,
        replies=lambda row: ("A", "B", "C", "D", "E", row["answer"], row["answer"], f"({row['answer']})"),
        answers=lambda row: (row["answer"], row["answer"], row[row["answer"]], f"{row['answer']}. {row['B']}"),
    )


def mmmu(draw: random.Random, asked: Asked) -> Drawn:
    utils = module("lmms_eval.tasks.mmmu.utils", "tasks/mmmu/utils.py")
    unguessed()
    rows, opened = [], ["12", "3.5", "red", "x", "1,204", "14"]
    for number in range(NUM_ROWS):
        is_open = number % 2 == 1
        listed = [] if is_open else options(draw, draw.randint(2, 5))
        rows.append(
            {
                "id": f"validation_{draw.choice(['Math', 'Art_Theory', 'Accounting'])}_{number}",
                "question": f"Look at <image 1> and say what {number} is.",
                "options": str(listed),
                "answer": draw.choice(opened) if is_open else "ABCDE"[len(listed) // 2],
                "question_type": "open" if is_open else "multiple-choice",
            }
        )
    wording = {
        "prompt_type": "format",
        "multiple_choice_prompt": "Answer with the option's letter from the given choices directly.",
        "open_ended_prompt": "Answer the question using a single word or phrase.",
    }
    utils.config["metadata"]["interleaved_format"] = True

    def score(row: dict[str, Any], got: str) -> float:
        result = utils.mmmu_process_results(row, [got])["mmmu_acc"]
        return float(utils.evaluate_mmmu([result])[1]["acc"])

    return Drawn(
        rows=rows,
        prompt=lambda row: utils.mmmu_doc_to_text(row, wording),
        score=score,
        answers=lambda row: (row["answer"], f"The answer is {row['answer']}", f"({row['answer']})"),
    )


def mmmu_pro(draw: random.Random, asked: Asked, *, vision: bool) -> Drawn:
    utils = module("lmms_eval.tasks.mmmu_pro.utils", "tasks/mmmu_pro/utils.py")
    unguessed()
    utils.config["metadata"]["interleaved_format"] = True
    wording = {"pre_prompt": "", "post_prompt": "Answer with the option letter from the given choices directly."}
    rows = []
    for number in range(NUM_ROWS):
        listed = options(draw, draw.randint(3, 10))
        row = {
            "id": f"test_Math_{number}",
            "options": str(listed),
            "answer": "ABCDEFGHIJ"[draw.randrange(len(listed))],
            "subject": draw.choice(["Math", "History"]),
        }
        if not vision:
            row |= {"question": f"What is {number} in <image 1>?", "topic_difficulty": "Easy", "img_type": "[]"}
        rows.append(row)

    def score(row: dict[str, Any], got: str) -> float:
        result = utils.mmmu_pro_process_results(row, [got])["mmmu_acc"]
        return float(utils.evaluate_mmmu([result])[1]["acc"])

    return Drawn(
        rows=rows,
        prompt=lambda row: utils.mmmu_pro_doc_to_text(row, wording),
        score=score,
        answers=lambda row: (row["answer"], row["answer"], f"The answer is {row['answer']}", f"({row['answer']})"),
    )


def vstar(draw: random.Random, asked: Asked) -> Drawn:
    utils = module("lmms_eval.tasks.vstar_bench.utils", "tasks/vstar_bench/utils.py")
    rows = []
    for number in range(NUM_ROWS):
        listed = options(draw, draw.choice([4, 4, 2]))
        spelled = " ".join(f"({letter}) {text}" for letter, text in zip("ABCD", listed, strict=False))
        text = f"What is thing {number}? {spelled}" if number % 5 else f"What is thing {number}?"
        kind, label = draw.choice(["direct_attributes", "relative_position"]), "ABCD"[draw.randrange(len(listed))]
        rows.append({"text": text, "category": kind, "label": label, "question_id": str(number)})
    wording = {"post_prompt": "\nAnswer with the option's letter from the given choices directly."}
    return Drawn(
        rows=rows,
        prompt=lambda row: utils.vstar_doc_to_text(row, wording),
        score=lambda row, got: float(utils.vstar_process_results(row, [got])["vstar_overall_acc"]["score"]),
        answers=lambda row: (row["label"], f"the answer is {row['label'].lower()}", f"({row['label']})"),
    )


def unguessed() -> None:
    """Whoever finds no option chooses none."""
    shared = sys.modules["lmms_eval.tasks._task_utils.mmmu_mcq_utils"]
    shared.random = types.SimpleNamespace(choice=lambda choices: "")  # type: ignore[attr-defined]


def pairs_of(one: Drawn, draw: random.Random, asked: Asked, *, each_once: bool) -> list[list[Any]]:
    """Predictions with their scores."""
    pairs: list[list[Any]] = []
    count = len(one.rows) if each_once else NUM_PAIRS
    for number in range(count):
        place = number if each_once else draw.randrange(len(one.rows))
        row = one.rows[place]
        near = one.answers(row)
        far = draw.choice(TEXTS) if draw.random() < 0.6 else words(draw).strip() or "?"
        got = draw.choice(near) if near and draw.random() < 0.5 else far
        asked.reply, asked.prompts = draw.choice(one.replies(row)), []
        score = one.score(row, got)
        pairs.append([place, got, asked.reply if asked.prompts else None, _last(asked), score])
    return pairs


def _last(asked: Asked) -> str | None:
    return digest(asked.prompts[-1]) if asked.prompts else None


def main(folder: Path) -> None:
    """Write a file a benchmark."""
    asked = stubbed()
    for name, make in (
        ("mathvista", mathvista),
        ("mathverse", mathverse),
        ("mmvet", mmvet),
        ("mmbench", mmbench),
        ("mmmu", mmmu),
        ("mmmu_pro", lambda draw, asked: mmmu_pro(draw, asked, vision=False)),
        ("mmmu_pro_vision", lambda draw, asked: mmmu_pro(draw, asked, vision=True)),
        ("vstar", vstar),
    ):
        draw = random.Random(f"{SEED} {name}")
        one = make(draw, asked)
        rows = [{"row": row, "prompt": digest(one.prompt(row))} for row in one.rows]
        pairs = pairs_of(one, draw, asked, each_once=name == "mmbench")
        lines = [
            ",\n".join(json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in parts)
            for parts in (rows, pairs)
        ]
        text = f'{{"rows":[\n{lines[0]}\n],\n"pairs":[\n{lines[1]}\n],\n"more":{json.dumps(one.more(pairs))}}}\n'
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        print(name, len(pairs), sum(pair[3] is not None for pair in pairs), sum(pair[4] for pair in pairs) / len(pairs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

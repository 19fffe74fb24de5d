"""`visionthink judge agreement`: answers of a run, of a file, or what a judge said before."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.engines.chat_server import chat_server

from visionthink.cli.app import run_command
from visionthink.config import RunConfig, override_config
from visionthink.engines import Request, ScriptedEngine
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks import benchmark_of
from visionthink.runs import RunFolder, StageResult
from visionthink.serving.server import background_server
from visionthink.storage import atomic_write_json

ANSWERS = {"red": "Score: 1", "blue": "Score: 1", "Red.": "Score: 0", "dark blue": "Score: 0", "green": "?"}


@pytest.fixture
def judge() -> Iterator[tuple[str, ScriptedEngine]]:
    """A language model that says of each answer what is written above."""

    def says(request: Request) -> str:
        return ANSWERS[json.loads(request.messages[-1].text)["predicted_answer"]]

    engine = ScriptedEngine(says)
    with background_server(chat_server(engine), ready_path=None) as url:
        yield f"judge.uri=openai:{url}/v1?model=scripted", engine


def items(path: Path) -> Path:
    rows = [{"question": "what color ?", "answer": "red", "prediction": said} for said in ANSWERS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(re.sub(r"[^\x20-\x7e]", " ", capsys.readouterr().out).split())


def test_answers_of_a_file_are_judged_by_both(
    tmp_path: Path, judge: tuple[str, ScriptedEngine], capsys: pytest.CaptureFixture[str]
) -> None:
    setting, engine = judge
    cache, out = tmp_path / "calls.jsonl", tmp_path / "agreement.json"
    command = ["judge", "agreement", "--items", str(items(tmp_path / "items.jsonl")), "--out", str(out)]
    command += ["--set", setting.replace("openai:", "rule+openai:"), "--set", f"judge.cache={cache}"]
    assert run_command(command) == 0
    text = told(capsys)
    assert "5 answers: the rule against the language model" in text
    assert "right 1 1 0" in text and "wrong 1 1 1" in text and "cannot tell 0 0 0" in text
    assert "of the 4 answers that both told they agree on 50.0%; Cohen's kappa is 0.000" in text
    assert "- rule wrong, language model right: what color ? true red, said blue" in text
    assert len(json.loads(out.read_text())["disagreements"]) == 2
    num_asked = len(engine.requests)
    assert run_command(command) == 0
    assert len(engine.requests) == num_asked + 3, "only what had no verdict is asked again"
    capsys.readouterr()
    assert run_command(["judge", "agreement", "--calls", str(cache), "--examples", "0"]) == 0
    text = told(capsys)
    assert "they agree on 50.0%" in text and "language model right:" not in text
    assert len(engine.requests) == num_asked + 3


def test_answers_of_a_run_are_judged_by_both(
    tmp_path: Path,
    judge: tuple[str, ScriptedEngine],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = override_config(
        RunConfig(), {"evaluate.num_samples": 8, "evaluate.num_held_out_samples": 0, "data.families": ["color"]}
    )
    folder = RunFolder(Path("runs/one"))
    folder.begin(config)
    samples = benchmark_of(config).source(config, print).samples
    said = ["red", "blue", "Red.", "dark blue", None, " ", "red", "red"]
    answers = [
        Answer(
            id=sample.id,
            family=sample.family,
            needed=False,
            want=sample.answer,
            got=got,
            score=0.0,
            error=None,
            asked=False,
            asked_whole=False,
            asked_right=None,
            visual_tokens_asked=0,
            shortcut=False,
            visual_tokens=4,
            reply_tokens=9,
            num_turns=1,
            outcome="answered",
        ).to_dict()
        for sample, got in zip(samples, said, strict=True)
    ]
    for contender in ("base", "trained"):  # whose equal answers are judged once
        atomic_write_json(folder.stage_dir("evaluate") / "answers" / contender / "test-00000.json", answers)
    folder.keep_result("evaluate", StageResult())
    assert run_command(["judge", "agreement", "--run-dir", "runs/one", "--set", judge[0]]) == 0
    pairs = {
        (sample.question, sample.answer, got) for sample, got in zip(samples, said, strict=True) if (got or "").strip()
    }
    assert f"{len(pairs)} answers" in told(capsys)
    assert folder.judge_calls_path.exists()


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("{", "line 1 of"),
        ('{"question": "a", "answer": "b"}', '"prediction"'),
        ('{"question": "a", "answer": 3, "prediction": "b"}', '"answer"'),
        ('{"question": "a", "answer": "b", "prediction": "c", "other_answers": "d"}', '"other_answers"'),
    ],
)
def test_a_line_that_is_no_answer_is_named(
    tmp_path: Path, line: str, want: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "items.jsonl").write_text(line)
    assert run_command(["judge", "agreement", "--items", str(tmp_path / "items.jsonl")]) == 2
    assert want in capsys.readouterr().err


def test_a_rule_that_would_be_compared_with_itself_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["judge", "agreement", "--items", str(items(tmp_path / "items.jsonl"))]) == 2
    assert "judge.uri=openai:http://HOST:PORT/v1?model=NAME" in capsys.readouterr().err

import io

from visionthink.pipelines.local_output import LocalOutput

KFP = """\
10:00:00.000 - INFO - Executing task 'label'
    [KFP Executor 2026-11-23 INFO]: Got executor_input:
    {
        "inputs": {}
    }
"""


def shown(text: str, *, chunk: int = 7) -> tuple[list[str], LocalOutput, str]:
    said: list[str] = []
    log = io.StringIO()
    ticks = iter(range(0, 1000, 30))
    output = LocalOutput(("label", "train"), log=log, say=said.append, clock=lambda: next(ticks))
    for start in range(0, len(text), chunk):
        output.write(text[start : start + chunk])
    output.flush()
    return said, output, log.getvalue()


def test_local_output_shows_what_stages_say_and_keeps_all() -> None:
    text = f"{KFP}    ::visionthink begin:: label\n    10 of 20\n\n    20 of 20\n    ::visionthink end:: label\n{KFP}"
    said, output, log = shown(text)
    assert said == ["[1/2] label", "      10 of 20", "      20 of 20", "      done in 30 s"]
    assert output.stage is None
    assert log == text


def test_local_output_keeps_the_reason_of_a_failure_to_itself() -> None:
    said, output, _ = shown("::visionthink begin:: train\nhello\n::visionthink failed:: train\nTraceback\nwhy\n")
    assert said == ["[2/2] train", "      hello"]
    assert output.stage == "train"
    assert output.last_lines == ["hello", "Traceback", "why"]


def test_local_output_remembers_the_last_lines_of_a_killed_stage() -> None:
    lines = "".join(f"    step {number}\n" for number in range(50))
    end = "10:00:01.123 - ERROR - Task 'train' finished with status FAILURE\n" + "-" * 80 + "\n"
    said, output, _ = shown(f"    ::visionthink begin:: train\n{lines}    Killed\n{end}")
    assert output.last_lines == [*(f"step {number}" for number in range(31, 50)), "Killed"]
    assert said[-1] == "      Killed"

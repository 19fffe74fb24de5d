"""The model as lmms-eval makes and calls it, in its own environment: what it does not do it says, with what to do."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.contract.lmms.test_tasks import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# As lmms-eval does it: a class found by name, made of a text of arguments, called with instances.
CODE = """
import json, sys
from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model
from PIL import Image

model = get_model("visionthink")
white = Image.new("RGB", (112, 112))
documents = [[white], [white, white], [], None, ["clip.mp4"]]

def made(text, **wishes):
    one = model.create_from_arg_string(text, {"batch_size": "1", "device": None})
    one.task_dict["pope"] = {"test": documents}
    return one

def asked(*numbers, **wishes):
    one = made("engine=scripted:" + sys.argv[1] + ",concurrency=1")
    return one.generate_until([
        Instance(
            request_type="generate_until",
            arguments=("what ?", wishes, lambda document: document, number, "pope", "test"),
            idx=0,
            metadata={"task": "pope", "doc_id": number, "repeats": 1},
        )
        for number in numbers
    ])

def told(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

replies = asked(0, 2, 3)
print("TOLD" + json.dumps({
    "texts": [reply.text for reply in replies],
    "tokens": [reply.token_counts.to_dict()["visual_tokens"] for reply in replies],
    "two": told(lambda: asked(1)),
    "video": told(lambda: asked(4)),
    "beams": told(lambda: asked(0, num_beams=3)),
    "likelihood": told(lambda: made("engine=scripted:x").loglikelihood([])),
    "rounds": told(lambda: made("engine=scripted:x").generate_until_multi_round([])),
    "typing error": told(lambda: made("engine=scripted:x,max_turn=2")),
    "no model": told(lambda: made("engine=transformers").generate_until([])),
}))
"""


@pytest.fixture(scope="module")
def told(lmms_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, object]:
    """What the model answers and says, by case."""
    folder = tmp_path_factory.mktemp("lmms_model")
    script = folder / "script.json"
    script.write_text(json.dumps(["<think>seen</think><answer>red</answer>", "<answer>4</answer>", "five"]))
    done = subprocess.run(
        [lmms_python, "-c", CODE, script],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: Mapping[str, object] = json.loads(done.stdout.partition("TOLD")[2])
    return found


def test_one_picture_is_an_episode_and_none_is_a_plain_turn(told: Mapping[str, object]) -> None:
    assert told["texts"] == ["red", "4", "five"]
    assert told["tokens"] == [4, 0, 0]


@pytest.mark.parametrize(
    ("case", "want"),
    [
        ("two", "ConfigError: pope document 1 shows 2 pictures, and an evaluation asks about one at a time; leave"),
        ("video", "ConfigError: pope document 4 shows a str, and an episode looks at a picture"),
        ("beams", "ConfigError: pope document 0 wants 3 beams; pass --gen_kwargs num_beams=1"),
        (
            "likelihood",
            "NotImplementedError: the model `visionthink` writes answers and tells no likelihood of",
        ),
        (
            "rounds",
            "NotImplementedError: the model `visionthink` writes answers and tells no answers to",
        ),
        ("typing error", "ConfigError: unknown argument max_turn=2; known are engine, policy"),
        ("no model", "ConfigError: engine=transformers runs a model here; name its folder with model=FOLDER"),
    ],
)
def test_what_it_does_not_do_it_says(case: str, want: str, told: Mapping[str, object]) -> None:
    assert str(told[case]).startswith(want)

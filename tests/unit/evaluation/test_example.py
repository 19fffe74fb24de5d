import pytest
from tests.unit.evaluation.answers import CONTENDERS, TRAINED, answer

from visionthink.config import RunConfig
from visionthink.core.episode import AskModel, FinishReason, ModelReply, advance, start
from visionthink.core.message import Role
from visionthink.datasets.world import generate
from visionthink.errors import DataError
from visionthink.evaluation import Answer
from visionthink.evaluation.answer import to_answer
from visionthink.evaluation.benchmarks.samples import PICTURE_WORLD
from visionthink.evaluation.contender import all_views
from visionthink.evaluation.example import choose_examples, to_example
from visionthink.evaluation.question import questions_of
from visionthink.judges import Grade

CALL = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'


def test_choose_examples_shows_each_kind_of_end_before_one_comes_twice() -> None:
    right, direct = answer("right"), answer("direct", needed=False, asked=False)
    wrong = answer("wrong", correct=False, asked=False)
    answers = [right, right, right, direct, direct, wrong]
    assert [answers[index].id for index in choose_examples(answers, 4)] == ["right", "wrong", "direct", "right"]


def test_choose_examples_lets_families_take_turns() -> None:
    answers = [answer("a"), answer("b"), answer("c", family="mark")]
    assert [answers[index].id for index in choose_examples(answers, 2)] == ["a", "c"]


def test_choose_examples_leaves_failed_episodes_out() -> None:
    assert choose_examples([answer(failed=True)], 3) == []


def test_example_shows_the_whole_conversation_with_its_views() -> None:
    (sample,) = generate("test", 1, seed=0, families=["mark"])
    (question,) = questions_of(PICTURE_WORLD, [sample], RunConfig().data)
    step = start(question.episode(TRAINED)[0])
    for text in (CALL, f"<answer>{sample.answer}</answer>"):
        step = advance(step.state, ModelReply(text=text, finish_reason=FinishReason.STOP))
    assert not isinstance(step.command, AskModel)
    made = to_answer(sample, step.command, Grade(correct=1.0), all_views)
    assert (made.asked, made.visual_tokens, made.num_turns, made.score) == (True, 20, 2, 1.0)
    example = to_example(question, step.command, made, max_view_bytes=100_000)
    assert [turn.speaker for turn in example.turns] == [Role.USER, Role.ASSISTANT, Role.USER, Role.ASSISTANT]
    assert [[view.width for view in turn.views] for turn in example.turns] == [[56], [], [112], []]
    assert (example.want, example.got, example.visual_tokens) == (sample.answer, sample.answer, 20)
    assert [turn.note for turn in example.turns] == ["", "call granted: the whole picture at 112 x 112 pixels", "", ""]


def test_answer_of_a_failed_judge_is_not_a_wrong_answer() -> None:
    (sample,) = generate("test", 1, seed=0, families=["mark"])
    step = start(questions_of(PICTURE_WORLD, [sample], RunConfig().data)[0].episode(CONTENDERS[0])[0])
    step = advance(step.state, ModelReply(text="<answer>x</answer>", finish_reason=FinishReason.STOP))
    assert not isinstance(step.command, AskModel)
    made = to_answer(sample, step.command, Grade(correct=0.0, failed=True, error="timed out"), all_views)
    assert made.failed and made.error == "timed out"
    assert made.score == 0


def test_answer_survives_json() -> None:
    want = answer(needed=None, got=None)
    assert Answer.from_dict(want.to_dict()) == want
    with pytest.raises(DataError, match="not an answer record"):
        Answer.from_dict({"id": "a"})

import pytest
from tests.unit.evaluation.answers import answer

from visionthink.config import RunConfig, override_config
from visionthink.core.episode import AskModel, EpisodeSpec, Finish, FinishReason, ModelReply, advance, start
from visionthink.core.geometry import Size
from visionthink.core.message import Role
from visionthink.datasets.world import generate
from visionthink.episodes.prompting import prompting_of
from visionthink.episodes.runner import Done, GradedEpisode, Lost
from visionthink.errors import DataError
from visionthink.evaluation import Answer
from visionthink.evaluation.answer import to_answer
from visionthink.evaluation.contender import all_views
from visionthink.evaluation.example import choose_examples, to_example
from visionthink.judges import Grade
from visionthink.picture import decode
from visionthink.report import ShownBox

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


def done(finish: Finish, grade: Grade) -> Done:
    return Done(size=Size(width=112, height=112), episodes=(GradedEpisode(finish=finish, grade=grade),))


def finished(spec: EpisodeSpec, *texts: str) -> Finish:
    step = start(spec)
    for text in texts:
        step = advance(step.state, ModelReply(text=text, finish_reason=FinishReason.STOP))
    assert not isinstance(step.command, AskModel)
    return step.command


def test_example_shows_the_whole_conversation_with_its_views() -> None:
    (sample,) = generate("test", 1, seed=0, families=["mark"])
    spec = prompting_of(RunConfig()).spec(sample.question, Size(width=112, height=112))
    finish = finished(spec, CALL, f"<answer>{sample.answer}</answer>")
    made = to_answer(sample, done(finish, Grade(correct=1.0)), all_views)
    assert (made.asked, made.visual_tokens, made.num_turns, made.score) == (True, 20, 2, 1.0)
    example = to_example("what ?", decode(sample.picture), finish, made, max_view_bytes=100_000)
    assert [turn.speaker for turn in example.turns] == [Role.USER, Role.ASSISTANT, Role.USER, Role.ASSISTANT]
    assert [[view.width for view in turn.views] for turn in example.turns] == [[56], [], [112], []]
    assert (example.question, example.want, example.got) == ("what ?", sample.answer, sample.answer)
    assert example.visual_tokens == 20
    granted = 'resize_image {"action": "resize"} granted: the whole picture at 112 x 112 pixels'
    assert [turn.note for turn in example.turns] == ["", granted, "", ""]


def test_example_draws_every_region_on_the_first_view_and_names_its_turn() -> None:
    (sample,) = generate("test", 1, seed=0, families=["mark"])
    tools = {"episode.tools": ["resize_image", "crop_image"], "episode.protocol": "compact-tools-v1"}
    config = override_config(RunConfig(), {**tools, "episode.max_turns": 5})
    crop, bad = (
        f'<tool_call>{{"name": "crop_image", "arguments": {{"bbox_2d": {box}}}}}</tool_call>'
        for box in ("[14, 0, 42, 28]", "[0, 0, 999, 999]")
    )
    spec = prompting_of(config).spec(sample.question, Size(width=112, height=112))
    finish = finished(spec, crop, bad, CALL, "<answer>x</answer>")
    made = to_answer(sample, done(finish, Grade(correct=0.0)), all_views)
    example = to_example("what ?", decode(sample.picture), finish, made, max_view_bytes=100_000)
    views = [view for turn in example.turns for view in turn.views]
    box = ShownBox(left=0.25, top=0.0, width=0.5, height=0.5, label="turn 2")
    assert [view.boxes for view in views] == [(box,), (), ()]
    assert views[1].note == "(28, 0) to (84, 56) of the original"
    notes = [turn.note for turn in example.turns if turn.note]
    assert notes[0].startswith('crop_image {"bbox_2d": [14, 0, 42, 28]} granted: (28, 0) to (84, 56) at ')
    assert notes[1].startswith('crop_image {"bbox_2d": [0, 0, 999, 999]} refused: ')
    assert notes[2].startswith('resize_image {"action": "resize"} granted: the whole picture at 112 x 112 pixels')


def test_example_tells_why_a_call_was_refused() -> None:
    (sample,) = generate("test", 1, seed=0, families=["mark"])
    spec = prompting_of(RunConfig()).spec(sample.question, Size(width=112, height=112))
    finish = finished(spec, CALL.replace("resize_image", "zoom"), "<answer>x</answer>")
    made = to_answer(sample, done(finish, Grade(correct=0.0)), all_views)
    example = to_example("what ?", decode(sample.picture), finish, made, max_view_bytes=100_000)
    assert example.turns[1].note.startswith('zoom {"action": "resize"} refused: ')


def test_contender_counts_what_an_episode_cost() -> None:
    """A method that drops tokens within the model tells its own count."""
    (sample,) = generate("test", 1, seed=0, families=["mark"])
    spec = prompting_of(RunConfig()).spec(sample.question, Size(width=112, height=112))
    finish = finished(spec, CALL, "<answer>x</answer>")
    made = to_answer(sample, done(finish, Grade(correct=0.4)), lambda trace: trace.visual_tokens // 4)
    assert (made.visual_tokens, made.score) == (5, 0.4)


def test_answer_that_cannot_be_had_or_graded_is_not_a_wrong_answer() -> None:
    (sample,) = generate("test", 1, seed=0, families=["mark"])
    spec = prompting_of(RunConfig()).spec(sample.question, Size(width=112, height=112), "always_low")
    grade = Grade(correct=0.0, failed=True, error="timed out")
    made = to_answer(sample, done(finished(spec, "<answer>x</answer>"), grade), all_views)
    assert (made.failed, made.error, made.got) == (True, "timed out", "x")
    lost = to_answer(sample, Lost(error="a content filter"), all_views)
    assert (lost.failed, lost.error, lost.got) == (True, "a content filter", None)


def test_answer_survives_json() -> None:
    want = answer(needed=None, got=None)
    assert Answer.from_dict(want.to_dict()) == want
    with pytest.raises(DataError, match="not an answer record"):
        Answer.from_dict({"id": "a"})

import io

from PIL import Image

from visionthink.core.geometry import Size, ViewRule, full_view, quarter_view
from visionthink.core.message import ImagePart, Message, Role, TextPart
from visionthink.core.sample import Sample
from visionthink.core.trace import Trace
from visionthink.report import example_of


def test_example_shows_the_conversation_with_the_views_of_the_model() -> None:
    rule = ViewRule(max_pixels=2048**2, min_pixels=28**2)
    original = Size(width=2240, height=1120)
    views = (quarter_view(original, rule), full_view(original, rule))
    trace = Trace(
        turns=(),
        views=views,
        messages=(
            Message(role=Role.SYSTEM, parts=(TextPart(text="be brief"),)),
            Message(role=Role.USER, parts=(ImagePart(view=views[0]), TextPart(text="\nwhat ?"))),
            Message(role=Role.ASSISTANT, parts=(TextPart(text="more please"),)),
            Message(role=Role.USER, parts=(ImagePart(view=views[1]),)),
            Message(role=Role.ASSISTANT, parts=(TextPart(text="<answer>7</answer>"),)),
        ),
    )
    sample = Sample(
        id="1",
        question="<image>what ?",
        answer="7",
        family="code",
        needs_high_res=True,
        source="test",
        picture=b"",
    )
    picture = Image.new("RGB", (original.width, original.height), "red")
    got = example_of(sample, trace, picture, answer="7", correct=True)
    assert (got.question, got.want, got.got, got.correct) == ("what ?", "7", "7", True)
    assert [(turn.speaker, turn.text) for turn in got.turns] == [
        ("system", "be brief"),
        ("user", "what ?"),
        ("assistant", "more please"),
        ("user", ""),
        ("assistant", "<answer>7</answer>"),
    ]
    (first,), (second,) = got.turns[1].views, got.turns[3].views
    assert (first.width, first.height, first.visual_tokens) == (1120, 560, 800)
    assert (second.width, second.height, second.visual_tokens) == (2240, 1120, 3200)
    assert got.visual_tokens == 4000
    assert Image.open(io.BytesIO(second.png)).size == (768, 384)

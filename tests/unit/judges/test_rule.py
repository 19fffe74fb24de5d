"""What the rule judge says at its door; `test_pairs` has the large table."""

import pytest

from visionthink.judges import Grade, GradeItem, RuleJudge

ANIMALS = "Which animal is it? (A) dog (B) cat (C) horse (D) cow"
COLORS = "Which color? (A) red (B) dark blue (C) 7"
SMALL = "What color is the car? (a) red (b) blue"
BIRDS = "How many birds?\n" + "\n".join(
    f"{letter}. {word}"
    for letter, word in zip("ABCDEFGHIJ", "one two three four five six seven eight nine ten".split(), strict=True)  # noqa: SIM905
)


async def grade(answer: str, prediction: str | None, *, question: str = "q", others: tuple[str, ...] = ()) -> Grade:
    return await RuleJudge().grade(
        GradeItem(question=question, answer=answer, prediction=prediction, other_answers=others)
    )


@pytest.mark.parametrize(
    ("answer", "prediction", "want"),
    [
        ("46P", "46", 0.0),
        ("3F7", "3", 0.0),
        ("4K", "4", 0.0),
        ("78", "78X", 0.0),
        ("5", ".5", 0.0),
        ("12", "12ab34", 0.0),
        ("472", "472k", 0.0),
        ("4", "4K7", 0.0),
        ("B7", "7", 0.0),
        ("12-AB", "12", 0.0),
        ("007", "7", 0.0),
        ("A7K2", "a7k2", 1.0),
    ],
)
async def test_a_code_is_copied_whole(answer: str, prediction: str, want: float) -> None:
    assert await grade(answer, prediction) == Grade(correct=want)


@pytest.mark.parametrize(
    ("answer", "prediction", "want"),
    [
        ("5 million", "5", 0.0),
        ("3k", "3", 0.0),
        ("5 million", "5,000,000", 1.0),
        ("1.5 billion", "1.5 million", 0.0),
        ("$4.2B", "4.2", 0.0),
        ("12 thousand", "12K", 1.0),
    ],
)
async def test_a_magnitude_is_part_of_the_number(answer: str, prediction: str, want: float) -> None:
    assert await grade(answer, prediction) == Grade(correct=want)


@pytest.mark.parametrize(
    ("question", "answer", "prediction", "want"),
    [
        (ANIMALS, "A", "the answer is a cat", 0.0),
        (ANIMALS, "B", "the answer is a cat", 1.0),
        (ANIMALS, "A", "The answer is a horse.", 0.0),
        (ANIMALS, "C", "The answer is a horse.", 1.0),
        (ANIMALS, "D", "a cow, because it has horns", 1.0),
        (ANIMALS, "A", "The answer is B. No, wait: the answer is A.", 1.0),
        (ANIMALS, "B", "The answer is B. No, wait: the answer is A.", 0.0),
        (ANIMALS, "B", "not B", 0.0),
        (ANIMALS, "A", "A or B", 0.0),
        (BIRDS, "H", "eight", 1.0),
        (BIRDS, "J", "(J) ten", 1.0),
        (BIRDS, "J", "ten", 1.0),
        (BIRDS, "I", "9", 1.0),
        (BIRDS, "I", "I am not sure", 0.0),
        (BIRDS, "J", "J. nine", 0.0),
        (COLORS, "B", "B dark blue", 1.0),
        (COLORS, "B", "B - dark blue", 1.0),
        (COLORS, "B", "Answer: **B**", 1.0),
        (COLORS, "B", "The correct option is: B", 1.0),
        (COLORS, "B", "$B$", 1.0),
        (COLORS, "B", "blue", 0.0),
        (SMALL, "a", "(a) red", 1.0),
        (SMALL, "a", "red", 1.0),
        (SMALL, "a", "(b) red", 0.0),
    ],
)
async def test_an_option_is_chosen_by_label_or_by_text(
    question: str, answer: str, prediction: str, want: float
) -> None:
    assert await grade(answer, prediction, question=question) == Grade(correct=want)


@pytest.mark.parametrize(
    ("answer", "prediction", "want"),
    [
        ("13", "$13$", 1.0),
        ("13", r"\(13\)", 1.0),
        ("0.5", r"\frac{1}{2}", 1.0),
        ("45", r"45^\circ", 1.0),
        ("50%", r"50\%", 1.0),
        ("1234", "1{,}234", 1.0),
        (r"2 \sqrt { 221 }", r"2\sqrt{221}", 1.0),
        (r"2 \sqrt { 221 }", r"2\sqrt{212}", 0.0),
        ("102", "10²", 0.0),
        (r"\frac{3}{4}", r"\frac{4}{3}", 0.0),
    ],
)
async def test_mathematics_is_compared_by_value(answer: str, prediction: str, want: float) -> None:
    assert await grade(answer, prediction) == Grade(correct=want)


@pytest.mark.parametrize(
    ("answer", "prediction", "want"),
    [
        ("-$5", "-5", 1.0),
        ("5 €", "€5", 1.0),
        ("5 €", "5", 1.0),
        ("$5", "5 USD", 1.0),
        ("1 234", "1234", 1.0),
        ("21 °C", "21", 1.0),
        ("3 cm²", "3 cm^2", 1.0),
        ("5 km", "5 kilometers", 1.0),
        ("3", "three", 1.0),
        ("½", "0.5", 1.0),
        ("1, 2, 3", "1,2,3", 1.0),
        ("5-10", "5–10", 1.0),  # noqa: RUF001
        ("5 km", "5 m", 0.0),
        ("$5", "€5", 0.0),
        ("5-10", "-5", 0.0),
        ("3:4", "3/4", 0.0),
    ],
)
async def test_form_is_free_and_content_is_not(answer: str, prediction: str, want: float) -> None:
    assert await grade(answer, prediction) == Grade(correct=want)


@pytest.mark.parametrize(
    ("question", "answer", "prediction"),
    [
        ("q", "The man is repairing the roof of the house.", "A man fixes a roof."),
        ("q", "1/2/2020", "January 2, 2020"),
        ("q", "2000", "2.000"),
        ("q", "red", "maybe red"),
        ("q", "Paris", "The sign says Paris, so the train goes to Paris."),
        (ANIMALS, "B", "I see a dog at the left, and on the right there may be a cat in the grass."),
    ],
)
async def test_what_no_rule_can_tell_is_no_grade(question: str, answer: str, prediction: str) -> None:
    got = await grade(answer, prediction, question=question)
    assert got.failed and not got.retryable and "cannot tell" in (got.error or "")


@pytest.mark.parametrize("prediction", [None, "", " \n", "..."])
async def test_no_prediction_is_wrong(prediction: str | None) -> None:
    assert await grade("The man is repairing the roof.", prediction) == Grade(correct=0.0)


async def test_any_of_several_answers_is_right() -> None:
    assert await grade("8", "nine", others=("9", "ten people")) == Grade(correct=1.0)
    assert await grade("8", "ten people", others=("9", "ten people")) == Grade(correct=1.0)
    assert await grade("8", "7", others=("9", "ten people")) == Grade(correct=0.0)


async def test_only_the_end_of_an_endless_text_is_read() -> None:
    assert await grade("46", "1 " * 10**6 + "The answer is 46.") == Grade(correct=1.0)
    assert await grade("46", "4" * 10**6) == Grade(correct=0.0)

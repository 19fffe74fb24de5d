import dataclasses

from tests.fakes.report_input import rows

from visionthink.report import Row
from visionthink.report.headline import headline, tiles, tokens_text


def test_headline_says_what_was_gained_and_what_it_cost() -> None:
    assert headline(rows()) == (
        "The trained model keeps 99.5% of the accuracy of always looking at the full picture, with 58% of its visual "
        "tokens. It asks for more pixels on 98.3% of the questions that need them and on 1.1% of those that do not."
    )


def test_headline_leaves_out_what_nobody_knows() -> None:
    unknown = [dataclasses.replace(row, resize_rate_needed=None) for row in rows()]
    assert headline(unknown).endswith("with 58% of its visual tokens.")


def test_headline_is_empty_without_the_rows_it_compares() -> None:
    assert headline([]) == ""
    assert headline([row for row in rows() if row.row is not Row.ALWAYS_HIGH]) == ""


def test_tiles_put_each_number_beside_its_reference() -> None:
    assert [(tile.value, tile.name, tile.note) for tile in tiles(rows())] == [
        ("97.6%", "correct answers", "full view always 98.1% · base model 82.9%"),
        ("58%", "of the visual tokens", "9.4 a question · full view always 16.0"),
        ("98.3%", "asked when needed", "base model 51.2%"),
        ("1.1%", "asked needlessly", "base model 47.5%"),
    ]


def test_tokens_text_is_short() -> None:
    assert [tokens_text(count) for count in (0, 9.36, 99.94, 1379.6)] == ["0.0", "9.4", "99.9", "1,380"]


def test_tiles_need_the_trained_row() -> None:
    assert tiles(rows()[:3]) == ()
    assert [tile.note for tile in tiles(rows()[3:])] == ["", "", ""]

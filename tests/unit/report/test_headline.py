import dataclasses

from tests.fakes.report_input import champion, contenders

from visionthink.core.gate import ContenderRole
from visionthink.report.headline import headline, tiles, tokens_text


def test_headline_says_what_was_gained_and_what_it_cost() -> None:
    assert headline(contenders()) == (
        "The trained model keeps 99.5% of the accuracy of always looking at the full picture, with 58% of its visual "
        "tokens. It asks for more pixels on 98.3% of the questions that need them and on 1.1% of those that do not."
    )


def test_headline_leaves_out_what_nobody_knows() -> None:
    unknown = [dataclasses.replace(row, resize_rate_needed=None) for row in contenders()]
    assert headline(unknown).endswith("with 58% of its visual tokens.")


def test_headline_is_empty_without_those_that_it_compares() -> None:
    assert headline([]) == ""
    assert headline([one for one in contenders() if one.role is not ContenderRole.FULL_VIEW]) == ""


def test_tiles_put_each_number_beside_its_reference() -> None:
    assert [(tile.value, tile.name, tile.note) for tile in tiles(contenders())] == [
        ("97.6%", "correct answers", "full view always 98.1% · base model 82.9%"),
        ("58%", "of the visual tokens", "9.4 a question · full view always 16.0"),
        ("98.3%", "asked when needed", "base model 51.2%"),
        ("1.1%", "asked needlessly", "base model 47.5%"),
    ]


def test_tokens_text_is_short() -> None:
    assert [tokens_text(count) for count in (0, 9.36, 99.94, 1379.6)] == ["0.0", "9.4", "99.9", "1,380"]


def test_tiles_need_the_candidate() -> None:
    assert tiles(contenders()[:3]) == ()
    assert [tile.note for tile in tiles(contenders()[3:])] == ["", "", ""]


def test_tiles_name_the_model_in_use_beside_the_candidate() -> None:
    assert tiles((*contenders(), champion()))[0].note == (
        "full view always 98.1% · base model 82.9% · model in use 94.0%"
    )


def test_headline_finds_whom_it_compares_by_role() -> None:
    renamed = [dataclasses.replace(one, name=f"x{n}") for n, one in enumerate(reversed(contenders()))]
    assert headline(renamed) == headline(contenders())


def test_tiles_tell_of_regions_where_some_were_shown() -> None:
    looked = [dataclasses.replace(row, right_region_ratio=0.985, whole_ratio=0.004) for row in contenders()]
    tile = tiles(looked)[-1]
    assert (tile.value, tile.name) == ("98.5%", "looked at the right region")
    assert tile.note == "base model 98.5% · the whole on 0.4% of asks"

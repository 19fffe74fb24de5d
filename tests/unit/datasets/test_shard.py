"""Names decide what is data, which split it is, and whether a set is whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.datasets.shard import check_whole, choose_split, original_of, split_of, why_hidden
from visionthink.errors import DataError


@pytest.mark.parametrize(
    ("name", "want"),
    [
        (".ipynb_checkpoints", "hidden"),
        ("._a.parquet", "hidden"),
        (".#t.jsonl", "hidden"),
        (".t.jsonl.swp", "hidden"),
        (".DS_Store", "hidden"),
        ("..data", "hidden"),
        ("..2024_06_01_12_00_00.123", "hidden"),
        (".git", "hidden"),
        ("_SUCCESS", "another program's mark"),
        ("_metadata", "another program's mark"),
        ("_delta_log", "another program's mark"),
        ("__MACOSX", "another program's mark"),
        ("Thumbs.db", "another program's mark"),
        ("desktop.ini", "another program's mark"),
        ("~$t.jsonl", "another program's mark"),
        ("t.jsonl~", "an editor's copy"),
        ("#t.jsonl#", "an editor's copy"),
        ("t.swp", "an editor's copy"),
        ("t.jsonl.bak", "an editor's copy"),
        ("t.jsonl.tmp", "unfinished"),
        ("t.jsonl.CRDOWNLOAD", "unfinished"),
        ("t.parquet.part", "unfinished"),
        ("t.jsonl", None),
        ("00000.parquet", None),
        ("#1.jsonl", None),
        ("a_b.jsonl", None),
        ("tmp.jsonl", None),
        ("Bildschirmfoto\u00a09.41\u202fAM.jsonl", None),
    ],
)
def test_why_hidden_knows_what_is_nobody_s_data(name: str, want: str | None) -> None:
    assert why_hidden(name) == want


@pytest.mark.parametrize(
    ("key", "original"),
    [
        ("t (1).jsonl", "t.jsonl"),
        ("t copy.jsonl", "t.jsonl"),
        ("t copy 2.jsonl", "t.jsonl"),
        ("t - Copy.jsonl", "t.jsonl"),
        ("t - Copy (2).jsonl", "t.jsonl"),
        ("t - Kopie.jsonl", "t.jsonl"),
        ("Copy of t.jsonl", "t.jsonl"),
        ("Backup of t.jsonl", "t.jsonl"),
        ("t-checkpoint.jsonl", "t.jsonl"),
        ("t.bak.jsonl", "t.jsonl"),
        ("t_old.jsonl", "t.jsonl"),
        ("t~.jsonl", "t.jsonl"),
        ("t.sync-conflict-20240601-120000-ABC.jsonl", "t.jsonl"),
        ("t (Ann's conflicted copy 2024-06-01).jsonl", "t.jsonl"),
        ("d (1)/t.jsonl", "d/t.jsonl"),
        ("d/t (1).parquet", "d/t.parquet"),
    ],
)
def test_copy_is_known_by_its_name_where_the_original_is_there(key: str, original: str) -> None:
    assert original_of(key, {key, original}) == original
    assert original_of(key, {key}) is None


@pytest.mark.parametrize("key", ["part (1).jsonl", "t1.jsonl", "t-2.jsonl", "tt.jsonl", "older.jsonl", "copy.jsonl"])
def test_other_file_is_no_copy(key: str) -> None:
    assert original_of(key, {key, "t.jsonl", "part (2).jsonl"}) is None


@pytest.mark.parametrize(
    ("key", "want"),
    [
        ("train-00000-of-00001.parquet", "train"),
        ("data/train-00000-of-00002-6b2f0c1ad3.parquet", "train"),
        ("test.jsonl", "test"),
        ("TEST.JSONL", "test"),
        ("data/validation/0.parquet", "validation"),
        ("val.jsonl", "val"),
        ("dev/0.jsonl", "dev"),
        ("eval_questions.jsonl", "eval"),
        ("my-train-data.jsonl", "train"),
        ("trainData.jsonl", "train"),
        ("testset.jsonl", "test"),
        ("train2017.jsonl", "train"),
        ("split=test/part-0.parquet", "test"),
        ("testmini-00000-of-00001.parquet", "testmini"),
        ("train_sft-00000-of-00001.parquet", "train_sft"),
        ("minival-00000-of-00001.parquet", "minival"),
        ("train_test.jsonl", "train_test"),
        ("test/train.jsonl", "train"),
        ("latest.jsonl", None),
        ("contest.parquet", None),
        ("data-00000-of-00002.parquet", None),
        ("part-00000-ab12-c000.snappy.parquet", None),
        ("devices/strain.jsonl", None),
        ("medieval.jsonl", None),
        ("0.parquet", None),
    ],
)
def test_split_is_told_by_the_name(key: str, want: str | None) -> None:
    assert split_of(key) == want


SPLITS = ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "data/dev.parquet")


@pytest.mark.parametrize(
    ("split", "want"),
    [
        ("train", [0]),
        ("test", [1]),
        ("Train", [0]),
        ("dev", [2]),
        ("validation", [2]),
        ("val", [2]),
        ("train+dev", [0, 2]),
    ],
)
def test_asked_split_is_read_and_no_other(split: str, want: list[int]) -> None:
    chosen = choose_split(SPLITS, split, place="d")
    assert [SPLITS.index(key) for key in chosen.keys] == want
    assert {entry.key for entry in chosen.left_out} == set(SPLITS) - set(chosen.keys)
    assert {entry.why for entry in chosen.left_out} == {"another split"}


def test_several_splits_are_refused_by_name() -> None:
    with pytest.raises(
        DataError, match=r"d holds dev \(dev.parquet\), test \(test-0.*\), train \(.*never mixed.*data.spl"
    ):
        choose_split(SPLITS, None, place="d")


def test_file_of_no_split_beside_one_of_a_split_is_refused() -> None:
    with pytest.raises(DataError, match=r"test \(test.jsonl\), files of no split \(all.jsonl\)"):
        choose_split(("all.jsonl", "test.jsonl"), None, place="d")


@pytest.mark.parametrize(
    ("keys", "split"),
    [
        (SPLITS, "testing1"),
        (SPLITS, "none"),
        (("a.jsonl", "b.jsonl"), "train"),
        (("val.jsonl", "dev.jsonl"), "validation"),
        (("train_sft-00000-of-00001.parquet", "train_prefs-00000-of-00001.parquet"), "train"),
    ],
)
def test_split_that_is_not_there_is_refused_with_those_that_are(keys: tuple[str, ...], split: str) -> None:
    with pytest.raises(DataError, match=rf"d: there is no split '{split}'; it holds "):
        choose_split(keys, split, place="d")


@pytest.mark.parametrize("place", ["d/train", "d/train/", "train.jsonl", "s3://b/train/t.jsonl", "d/my_train_set"])
def test_named_place_may_say_its_split_itself(place: str) -> None:
    assert choose_split(("0.jsonl",), "train", place=place).keys == ("0.jsonl",)
    with pytest.raises(DataError, match="no split 'test'"):
        choose_split(("0.jsonl",), "test", place=place)


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        pytest.param(["a-00000-of-00002.parquet"], r"a lacks 1 of 2 files \(00001\)", id="the last"),
        pytest.param(["a-00001-of-00003.parquet"], r"a lacks 2 of 3 files \(00000, 00002\)", id="two"),
        pytest.param(["d/a_2_of_3.jsonl", "d/a_3_of_3.jsonl"], r"d/a lacks 1 of 3 files \(00001\)", id="from 1"),
        pytest.param(["1-of-2.jsonl"], r"the numbered files lacks 1 of 2", id="without a name"),
        pytest.param(
            ["a-00000-of-00001.parquet", "a-00000-of-00002.parquet", "a-00001-of-00002.parquet"],
            r"a set of 1 and 2 files at once",
            id="two sets at once",
        ),
        pytest.param(
            ["a-00000-of-00001-abc.parquet", "a-00000-of-00001-def.parquet"], r"twice in part \(00000\)", id="twice"
        ),
    ],
)
def test_set_that_is_not_whole_is_refused(keys: list[str], want: str) -> None:
    with pytest.raises(DataError, match=f"^d: .*{want}"):
        check_whole(keys, place="d")


@pytest.mark.parametrize(
    "keys",
    [
        ["a-00000-of-00001.parquet", "b-00000-of-00001.parquet"],
        ["a-00000-of-00002.parquet", "a-00001-of-00002.parquet"],
        ["a-1-of-2.parquet", "a-2-of-2.parquet"],
        ["x/a-00000-of-00001.parquet", "y/a-00000-of-00001.parquet"],
        ["00000.parquet", "00007.parquet"],
    ],
)
def test_whole_set_passes(keys: list[str]) -> None:
    check_whole(keys, place="d")


@given(keys=st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=8), split=st.none() | st.text(max_size=20))
def test_any_names_are_chosen_or_refused_in_short(keys: list[str], split: str | None) -> None:
    try:
        chosen = choose_split(keys, split, place="d" * 500)
        check_whole(chosen.keys, place="d" * 500)
    except DataError as error:
        assert len(str(error)) < 500
    else:
        assert set(chosen.keys) <= set(keys)

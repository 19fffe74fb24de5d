import pytest

from visionthink.core.label import Label, LabelRule
from visionthink.errors import DataError
from visionthink.labeling import Labelled
from visionthink.labeling.figures import label_counts, label_metrics

RULE = LabelRule(num_rollouts=8, min_gap=6)


def record(label: Label | None, truth: bool | None, counts: tuple[int, int] = (0, 0), family: str = "code") -> Labelled:
    return Labelled(
        id="a", family=family, num_correct_quarter=counts[0], num_correct_full=counts[1], label=label, truth=truth
    )


def test_label_metrics_count_every_kind() -> None:
    records = [
        record(Label.NEEDED, True, (0, 8)),
        record(Label.NEEDED, False, (1, 7)),
        record(Label.NOT_NEEDED, False, (8, 8)),
        record(Label.DISCARDED, True, (4, 6)),
        record(None, True, (8, 8)),
    ]
    assert label_metrics(records, RULE) == pytest.approx(
        {
            "label/num_samples": 5,
            "label/num_needed": 2,
            "label/num_not_needed": 1,
            "label/num_discarded": 1,
            "label/num_failed": 1,
            "label/agreement_ratio": 2 / 3,
            "label/accuracy_quarter": (0 + 1 + 8 + 4) / 32,
            "label/accuracy_full": (8 + 7 + 8 + 6) / 32,
        }
    )


def test_label_metrics_claim_no_agreement_where_no_truth_is_known() -> None:
    figures = label_metrics([record(Label.NEEDED, None, (0, 8))], RULE)
    assert "label/agreement_ratio" not in figures


def test_label_metrics_claim_no_accuracy_where_everything_failed() -> None:
    assert "label/accuracy_full" not in label_metrics([record(None, True)], RULE)


def test_label_counts_go_by_family() -> None:
    records = [
        record(Label.NEEDED, True),
        record(Label.NEEDED, True),
        record(None, True),
        record(Label.NOT_NEEDED, False, family="color"),
    ]
    assert label_counts(records) == {"code": {"failed": 1, "needed": 2}, "color": {"not_needed": 1}}


@pytest.mark.parametrize("label", [*Label, None])
def test_record_survives_json(label: Label | None) -> None:
    want = record(label, None, (1, 2))
    assert Labelled.from_dict(want.to_dict()) == want


def test_record_refuses_what_is_none() -> None:
    with pytest.raises(DataError, match="not a label record"):
        Labelled.from_dict({"id": "a"})

"""Samples: values that can be passed around without spilling their pictures."""

from visionthink.core import Sample


def test_sample_shows_no_picture_bytes_in_logs() -> None:
    sample = Sample(
        id="w-1", question="q", answer="a", family="code", needs_high_res=True, source="world", picture=b"\x89PNG" * 999
    )
    assert "PNG" not in repr(sample)
    assert "w-1" in repr(sample)

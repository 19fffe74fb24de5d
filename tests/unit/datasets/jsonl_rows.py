"""Rows as JSONL, for tests of what is found and read."""

import json
from pathlib import Path

from tests.unit.datasets.conftest import png, row

from visionthink.datasets import open_source


def lines(path: Path, *numbers: int, **columns: object) -> Path:
    """Rows as JSONL that name their pictures by path, which lie beside the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = []
    for number in numbers:
        (path.parent / f"{number}.png").write_bytes(png(number))
        texts.append(json.dumps(row(number, {"images": f"{number}.png", **columns})))
    path.write_text("\n".join(texts))
    return path


def ids(place: Path | str, **options: object) -> list[str]:
    return [one.id for one in open_source(place, **options)]  # type: ignore[arg-type]

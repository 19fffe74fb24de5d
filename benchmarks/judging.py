"""How often is the rule judge wrong, and how long does it take? The table of pairs, babble, and 10,000 hostile texts.

Two rates matter: of the pairs that are not right, how many it calls right (a reward for nothing), and of those that are
right, how many it calls wrong. Times are the processor's, for one item each, so that other work on the machine does not
count. Exits with 1 when a rate or a time is beyond its bound.

    python benchmarks/judging.py --out benchmarks/results/judging.json
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.unit.judges.hostile import hostile_items
from tests.unit.judges.table import pairs

from machine import processor
from visionthink.datasets.world import FAMILIES, generate
from visionthink.judges import GradeItem
from visionthink.judges.rule import tell
from visionthink.judges.told import Told
from visionthink.model.speech import corpus
from visionthink.storage import atomic_write_json

MAX_FALSE_RIGHT = 0.0
MAX_FALSE_WRONG = 0.03
MAX_UNDECIDED_BABBLE = 0.02
MAX_MS = 10.0
NUM_BABBLE = 5000


def rates() -> dict[str, dict[str, float]]:
    """Per kind of pair, and over all of them."""
    counts: dict[str, Counter[tuple[Told, Told]]] = {}
    for pair in pairs():
        for kind in (pair.kind, "all"):
            counts.setdefault(kind, Counter())[pair.want, tell(pair.item)] += 1
    return {kind: _rates(counts[kind]) for kind in sorted(counts)}


def _rates(counts: Counter[tuple[Told, Told]]) -> dict[str, float]:
    right = sum(count for (want, _), count in counts.items() if want is Told.RIGHT)
    other = counts.total() - right
    false_right = sum(count for (want, got), count in counts.items() if want is not Told.RIGHT and got is Told.RIGHT)
    undecided = sum(count for (want, got), count in counts.items() if want is not Told.UNTOLD and got is Told.UNTOLD)
    return {
        "num_pairs": counts.total(),
        "false_right_rate": false_right / max(other, 1),
        "false_wrong_rate": counts[Told.RIGHT, Told.WRONG] / max(right, 1),
        "needlessly_undecided_rate": undecided / counts.total(),
    }


def babble(count: int, seed: int) -> Iterator[GradeItem]:
    """What an untrained embedded model might write: words and lines it has heard, a third with the answer in it."""
    rng = random.Random(seed)
    samples = list(generate("test", 300, seed=seed, families=list(FAMILIES)))
    lines = sorted(set(corpus()))
    heard = sorted({word for line in lines for word in line.split()})
    for _ in range(count):
        sample = rng.choice(samples)
        row = rng.choices(heard, k=rng.choice((1, 2, 3, 5, 8, 13, 21))) + rng.choices(lines, k=rng.choice((0, 0, 1, 2)))
        row += [sample.answer] * (rng.random() < 1 / 3)
        rng.shuffle(row)
        yield GradeItem(question=sample.question, answer=sample.answer, prediction=" ".join(row))


def cpu_ms(item: GradeItem) -> float:
    """The processor's time for one item, the least of three tries."""
    times = []
    for _ in range(3):
        begin = time.thread_time()
        tell(item)
        times.append(1000 * (time.thread_time() - begin))
        if times[-1] < MAX_MS / 2:
            break
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostile", type=int, default=10_000, help="number of hostile texts")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    table = rates()
    print(f"{'kind':<18}{'pairs':>7}{'false right':>13}{'false wrong':>13}{'undecided':>11}")
    for kind, row in table.items():
        count, *shares = row.values()
        print(
            f"{kind:<18}{count:>7}"
            + "".join(f"{share:>{width}.2%}" for share, width in zip(shares, (13, 13, 11), strict=True))
        )
    told = Counter(tell(item) for item in babble(NUM_BABBLE, seed=1))
    undecided = told[Told.UNTOLD] / told.total()
    print(f"babble: {undecided:.2%} of {told.total()} undecided, {told[Told.RIGHT]} called right")
    ordinary = sorted(cpu_ms(pair.item) for pair in pairs())
    hostile = max(map(cpu_ms, hostile_items(args.hostile, seed=7)))
    print(f"time: median {ordinary[len(ordinary) // 2]:.2f} ms, worst of {args.hostile} hostile texts {hostile:.2f} ms")
    if args.out:
        figures = {
            "machine": processor(),
            "version": version("visionthink"),
            "table": table,
            "babble": {"num_texts": told.total(), "undecided_rate": undecided},
            "cpu_ms": {"median": ordinary[len(ordinary) // 2], "worst_hostile": hostile, "num_hostile": args.hostile},
        }
        atomic_write_json(args.out, figures)
    rows = table["all"]
    is_good = rows["false_right_rate"] <= MAX_FALSE_RIGHT and rows["false_wrong_rate"] <= MAX_FALSE_WRONG
    return 0 if is_good and undecided <= MAX_UNDECIDED_BABBLE and hostile <= MAX_MS else 1


if __name__ == "__main__":
    sys.exit(main())

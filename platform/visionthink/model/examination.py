"""What a freshly built base model can do: how well it reads either view, and how often it asks.

Rule: pictures of the validation split, drawn replies (temperature 1, as in labelling and training), the shared driver.
"""

import asyncio
from typing import Final

from visionthink.config import RunConfig
from visionthink.core.geometry import Size
from visionthink.datasets.world.family import FAMILIES
from visionthink.datasets.world.generate import generate
from visionthink.datasets.world.paint import SIDE
from visionthink.engines import Sampling
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.driver import run_episodes
from visionthink.episodes.prompting import ViewPolicy, prompting_of
from visionthink.judges import GradeItem, RuleJudge
from visionthink.model.folder import LoadedModel
from visionthink.picture import decode

_POLICIES: Final[tuple[ViewPolicy, ...]] = ("always_low", "always_high", "auto")


def examine(loaded: LoadedModel, *, seed: int, num_samples: int = 500) -> dict[str, dict[str, dict[str, float]]]:
    """`{policy: {family: {"accuracy", "resize_rate", "num_samples"}}}` over `num_samples` questions a policy."""
    config = RunConfig()
    prompting = prompting_of(config)
    samples = list(generate("validation", num_samples, seed=seed, families=tuple(FAMILIES)))
    pictures = [decode(sample.picture, name=sample.id) for sample in samples]
    engine = TransformersEngine(loaded.model, loaded.processor, batch_size=config.model.batch_size)
    sampling = Sampling(temperature=1.0, max_tokens=config.episode.max_reply_tokens, seed=seed)
    found: dict[str, dict[str, dict[str, float]]] = {}
    with asyncio.Runner() as runner:
        for policy in _POLICIES:
            episodes = [
                (prompting.spec(sample.question, Size(width=SIDE, height=SIDE), policy), picture)
                for sample, picture in zip(samples, pictures, strict=True)
            ]
            finishes = runner.run(run_episodes(engine, episodes, sampling))
            items = [
                GradeItem(question=sample.question, answer=sample.answer, prediction=finish.answer)
                for sample, finish in zip(samples, finishes, strict=True)
            ]
            grades = [runner.run(RuleJudge().grade(item)) for item in items]
            results = [
                (sample.family, grade.correct, float(finish.trace.asked))
                for sample, grade, finish in zip(samples, grades, finishes, strict=True)
            ]
            found[policy] = {family: _summary(results, family) for family in FAMILIES}
        runner.run(engine.aclose())
    return found


def _summary(results: list[tuple[str, float, float]], family: str) -> dict[str, float]:
    own = [(correct, asked) for name, correct, asked in results if name == family]
    return {
        "num_samples": len(own),
        "accuracy": round(sum(correct for correct, _ in own) / len(own), 4),
        "resize_rate": round(sum(asked for _, asked in own) / len(own), 4),
    }

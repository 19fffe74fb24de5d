"""How fast is it here? Labelling, training steps and the engine, on this machine, in about a minute.

Times depend on the machine and on what else it does, so two things are told apart. Absolute figures come with the name
of the machine and its load. Where there are two ways to do a thing, both are measured in turns, one round after the
other, and the ratio of their times is told: what else the machine does slows both alike.

    python benchmarks/speed.py --threads 1 --out runs/speed.json
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from transformers.utils import logging

from machine import processor
from visionthink.config import RunConfig
from visionthink.core.episode import Finish, FinishReason, ModelReply, Trace, advance, start
from visionthink.core.geometry import Size
from visionthink.core.sample import Sample
from visionthink.datasets.world import TRAINED_FAMILIES, generate
from visionthink.engines import Sampling
from visionthink.engines.batch import Batch, collate
from visionthink.engines.encoding import Encoded, Encoder
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.driver import run_episode
from visionthink.episodes.opening import open_runner
from visionthink.episodes.prompting import prompting_of
from visionthink.episodes.runner import Work
from visionthink.judges import RuleJudge
from visionthink.labeling.rollout import LabelSetting
from visionthink.model.bundled import base_folder
from visionthink.model.folder import LoadedModel, load_model
from visionthink.model.patch_embedding import use_linear_patches
from visionthink.model.speech import CALL
from visionthink.picture import decode
from visionthink.storage import atomic_write_json
from visionthink.training.local.rollout import Prompt
from visionthink.training.local.trainer import LocalTrainer, Setting

CONFIG = RunConfig()
NUM_LABELLED = 16
NUM_STEPS = 4
NUM_ROUNDS = 5
GROUP_SIZE = CONFIG.train.group_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two ways of doing one thing, measured in turns."""

    name: str
    plain: str
    better: str
    plain_s: tuple[float, ...]
    better_s: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """How many times as long the plain way took, round by round."""
        return [plain / better for plain, better in zip(self.plain_s, self.better_s, strict=True)]

    def line(self) -> str:
        """The duel in a line."""
        plain_ms, better_ms = (1000 * statistics.median(times) for times in (self.plain_s, self.better_s))
        ratio, low, high = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        return (
            f"{self.name}: {self.better} {better_ms:.0f} ms, {self.plain} {plain_ms:.0f} ms; "
            f"{ratio:.2f} times as fast (rounds {low:.2f} to {high:.2f})"
        )


def duel(name: str, plain: tuple[str, Callable[[], object]], better: tuple[str, Callable[[], object]]) -> Duel:
    """Run both ways in turns, after one round that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_number in range(NUM_ROUNDS + 1):
        for way, kept in zip((plain[1], better[1]), times, strict=True):
            start_s = time.perf_counter()
            way()
            if round_number:
                kept.append(time.perf_counter() - start_s)
    return Duel(name=name, plain=plain[0], better=better[0], plain_s=tuple(times[0]), better_s=tuple(times[1]))


def machine(threads: int) -> dict[str, Any]:
    """What the times were measured on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in ("torch", "transformers", "visionthink")},
    }


def questions(count: int) -> tuple[list[Sample], list[Image.Image]]:
    """Samples of the world and their pictures."""
    samples = list(generate("train", count, seed=0, families=TRAINED_FAMILIES))
    return samples, [decode(sample.picture) for sample in samples]


def labelling(loaded: LoadedModel) -> dict[str, float]:
    """Samples labelled a second, each with eight rollouts at each of the two sizes."""
    samples, _ = questions(NUM_LABELLED)
    engine = TransformersEngine(loaded.model, loaded.processor, batch_size=CONFIG.model.batch_size)
    setting = LabelSetting(rule=CONFIG.label.rule(), max_reply_tokens=CONFIG.episode.max_reply_tokens, seed=0)

    async def label() -> None:
        async with open_runner(engine, RuleJudge(), CONFIG) as runner:
            work = [Work(key=index, sample=sample, asks=setting.asks(sample)) for index, sample in enumerate(samples)]
            await runner.run(work, lambda item, end: None)

    start_s = time.perf_counter()
    asyncio.run(label())
    seconds = time.perf_counter() - start_s
    return {
        "samples_per_s": NUM_LABELLED / seconds,
        "rollouts_per_s": 2 * CONFIG.label.num_rollouts * NUM_LABELLED / seconds,
    }


def training(folder: Path) -> dict[str, float]:
    """Seconds of a GRPO step of the default size, in its two parts; medians over steps, the first left out."""
    loaded = load_model(folder)
    samples, _ = questions(2 * CONFIG.train.num_prompts)
    prompts = [Prompt(sample=sample, needed=sample.needs_high_res) for sample in samples]
    setting = Setting(
        train=CONFIG.train.model_copy(update={"num_steps": NUM_STEPS, "checkpoint_every": NUM_STEPS + 1}),
        reward=CONFIG.reward,
        seed=0,
        batch_size=CONFIG.model.batch_size,
        max_reply_tokens=CONFIG.episode.max_reply_tokens,
    )
    told: list[Mapping[str, float]] = []
    with tempfile.TemporaryDirectory() as checkpoints:
        trainer = LocalTrainer(
            loaded.model,
            loaded.processor,
            judge=RuleJudge(),
            prompting=prompting_of(CONFIG),
            decode=lambda sample: decode(sample.picture),
            setting=setting,
            checkpoint_dir=Path(checkpoints),
        )
        trainer.run(prompts, lambda step, values: told.append(values))
    names = ("step_s", "rollout_s", "train_s")
    return {name: statistics.median(values[f"perf/{name}"] for values in told[1:]) for name in names}


class EngineCourse:
    """A fixed set of conversations that the engine answers greedily."""

    def __init__(self, loaded: LoadedModel, count: int = 64) -> None:
        """Prepare `count` questions about as many pictures, in the full view."""
        self._engine = TransformersEngine(loaded.model, loaded.processor, batch_size=count)
        samples, pictures = questions(count)
        prompting = prompting_of(CONFIG)
        self._episodes = [
            (prompting.spec(sample.question, _size(picture), "always_high"), picture)
            for sample, picture in zip(samples, pictures, strict=True)
        ]
        self._sampling = Sampling(temperature=0.0, max_tokens=CONFIG.episode.max_reply_tokens)

    def run(self, rows: int, batch_size: int) -> int:
        """Answer `rows` questions, `batch_size` in a call; return the number of tokens written."""

        async def answer() -> int:
            num_tokens = 0
            for first in range(0, rows, batch_size):
                finishes = await asyncio.gather(
                    *(
                        run_episode(self._engine, spec, picture, self._sampling)
                        for spec, picture in self._episodes[first : first + batch_size]
                    )
                )
                num_tokens += sum(finish.trace.num_reply_tokens for finish in finishes)
            return num_tokens

        return asyncio.run(answer())

    def close(self) -> None:
        """End the engine's thread."""
        asyncio.run(self._engine.aclose())


def engine_speed(loaded: LoadedModel) -> tuple[dict[str, float], Duel]:
    """Tokens a second in a full batch, and what the batch is worth."""
    course = EngineCourse(loaded)
    course.run(64, 64)  # caches pixels and texts
    start_s = time.perf_counter()
    num_tokens = course.run(64, 64)
    seconds = time.perf_counter() - start_s
    compared = duel("8 answers", ("one at a time", lambda: course.run(8, 1)), ("in a batch", lambda: course.run(8, 8)))
    course.close()
    return {"tokens_per_s": num_tokens / seconds, "answers_per_s": 64 / seconds}, compared


def rollout_batch(loaded: LoadedModel, num_groups: int = 4) -> Batch:
    """Groups of whole episodes with both views, as a training step scores them."""
    samples, pictures = questions(num_groups)
    encoder = Encoder(loaded.processor)
    rows: list[Encoded] = []
    for sample, picture in zip(samples, pictures, strict=True):
        rows += [encoder.encode_trace(_trace(sample, picture), picture)] * GROUP_SIZE
    return collate(rows, encoder, padding="right")


def _size(picture: Image.Image) -> Size:
    return Size(width=picture.width, height=picture.height)


def _trace(sample: Sample, picture: Image.Image) -> Trace:
    """An episode that asks for the full view and answers right."""
    step = start(prompting_of(CONFIG).spec(sample.question, _size(picture)))
    for text in (f"<think>i need more pixels .</think>{CALL}", f"<answer>{sample.answer}</answer>"):
        step = advance(step.state, ModelReply(text=text, finish_reason=FinishReason.STOP))
    assert isinstance(step.command, Finish)
    return step.command.trace


def gradients(folder: Path) -> list[Duel]:
    """Forward and backward over a batch of rollouts, with and without what makes it cheaper."""
    stock, linear = load_model(folder), load_model(folder)
    use_linear_patches(linear.model)
    batch = rollout_batch(stock)

    def pass_through(loaded: LoadedModel, *, shared: bool) -> None:
        model = cast("Any", loaded.model)
        inputs = batch.shared_inputs(loaded.model) if shared else batch.model_inputs()
        logits = model(**inputs).logits
        torch.log_softmax(logits, dim=-1)[..., 0].mean().backward()  # type: ignore[no-untyped-call]
        model.zero_grad()

    rows = f"gradient of {len(batch.input_ids)} rollouts"
    return [
        duel(
            f"{rows}, patches",
            ("as a convolution", lambda: pass_through(stock, shared=False)),
            ("as a product", lambda: pass_through(linear, shared=False)),
        ),
        duel(
            f"{rows}, views",
            ("a row each", lambda: pass_through(linear, shared=False)),
            (f"shared by a group of {GROUP_SIZE}", lambda: pass_through(linear, shared=True)),
        ),
    ]


def main() -> int:
    """Measure, print, and write when told where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=CONFIG.model.threads, help="CPU threads of torch")
    parser.add_argument("--model", default=CONFIG.model.base, help="`embedded`, or the folder of a model")
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, start_s = base_folder(args.model), time.perf_counter()
    found: dict[str, Any] = {"machine": machine(args.threads)}
    told = found["machine"]
    print(f"{told['processor']}, {told['cores']} cores, {args.threads} threads, load {told['load_before']} before")
    loaded = load_model(folder)
    found["labelling"] = rates = labelling(loaded)
    print(f"labelling: {rates['samples_per_s']:.2f} samples/s ({rates['rollouts_per_s']:.0f} rollouts/s)", flush=True)
    found["training"] = step = training(folder)
    print(
        f"GRPO step of {CONFIG.train.num_prompts} prompts x {GROUP_SIZE}: {step['step_s']:.2f} s, "
        f"rollouts {step['rollout_s']:.2f} s, update {step['train_s']:.2f} s",
        flush=True,
    )
    found["engine"], batching = engine_speed(loaded)
    print(f"engine: {found['engine']['tokens_per_s']:.0f} tokens/s, {found['engine']['answers_per_s']:.0f} answers/s")
    duels = [batching, *gradients(folder)]
    for item in duels:
        print(item.line())
    found["ratios"] = {item.name: {"of": [item.plain, item.better], "rounds": item.ratios} for item in duels}
    found["seconds"] = round(time.perf_counter() - start_s, 1)
    print(f"measured in {found['seconds']} s")
    if args.out:
        atomic_write_json(args.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())

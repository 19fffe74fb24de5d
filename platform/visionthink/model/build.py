"""Makes the embedded base model from nothing, in four phases (docs/adr/0004).

sight: the vision tower learns to see, through throw-away readouts. Then it is frozen, and the language model learns
recital: to look an attribute up by the cue right before it; question: which question means which attribute; episode:
the format of whole episodes, in which half of the replies ask for the larger view whatever the question.

So the base model reads and keeps the format, and has nothing left to learn but when to ask.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import torch
import transformers

from visionthink.config import RunConfig, ViewConfig
from visionthink.engines.encoding import Encoder
from visionthink.errors import ConfigError
from visionthink.model.architecture import build_config, build_model, build_processor
from visionthink.model.examination import examine
from visionthink.model.folder import LoadedModel, save_model
from visionthink.model.lesson import Lesson, Teacher
from visionthink.model.lesson_loss import lesson_loss
from visionthink.model.patch_embedding import use_linear_patches
from visionthink.model.schedule import cosine_rate
from visionthink.model.sight import SightPhase

_BETAS: Final = (0.9, 0.98)
_WEIGHT_DECAY: Final = 0.01
_MAX_GRAD_NORM: Final = 1.0
_TELL_EVERY: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Steps, batch sizes and peak learning rates of the four phases."""

    sight_steps: int = 750
    sight_batch: int = 48
    sight_rate: float = 2e-3
    recital_steps: int = 350
    recital_batch: int = 32
    recital_rate: float = 2e-3
    question_steps: int = 450
    question_batch: int = 16
    question_rate: float = 2e-3
    episode_steps: int = 600
    episode_batch: int = 32
    episode_rate: float = 1e-3


Progress = Callable[[str, int, int, float, float], None]
"""Called with phase, step, steps, loss and accuracy."""
Loss = Callable[[], tuple[torch.Tensor, float]]


class Phase(NamedTuple):
    """One phase of the recipe."""

    name: str
    loss: Loss
    """Loss and accuracy of a fresh batch."""
    num_steps: int
    rate: float


def train_base_model(*, seed: int, recipe: Recipe, on_progress: Progress) -> tuple[LoadedModel, dict[str, float]]:
    """The model, and the mean accuracy over the last tenth of each phase."""
    processor = build_processor()
    model = build_model(build_config(processor.tokenizer), seed=seed)
    use_linear_patches(model)
    encoder = Encoder(processor, max_pixel_bytes=2**20)
    rule = ViewConfig().rule()
    sight = SightPhase(model, processor, rule=rule, batch_size=recipe.sight_batch, rng=random.Random(f"{seed}/sight"))
    teacher = Teacher(rule=rule, rng=random.Random(f"{seed}/lessons"))

    def lesson(make: Callable[[], Lesson], batch_size: int) -> Loss:
        return lambda: lesson_loss(model, encoder, [make() for _ in range(batch_size)])

    phases = (
        Phase("sight", sight.loss, recipe.sight_steps, recipe.sight_rate),
        Phase("recital", lesson(teacher.recital, recipe.recital_batch), recipe.recital_steps, recipe.recital_rate),
        Phase(
            "question",
            lesson(teacher.question_round, recipe.question_batch),
            recipe.question_steps,
            recipe.question_rate,
        ),
        Phase("episode", lesson(teacher.episode, recipe.episode_batch), recipe.episode_steps, recipe.episode_rate),
    )
    tower = cast("Any", model).model.visual
    accuracy = {}
    for phase in phases:
        trained = sight.parameters() if phase.name == "sight" else [p for p in model.parameters() if p.requires_grad]
        accuracy[phase.name] = _run(phase, trained, on_progress)
        tower.requires_grad_(False)  # from the second phase on; seeing is not to be unlearned
    tower.requires_grad_(True)
    return LoadedModel(model, processor), accuracy


def _run(phase: Phase, parameters: Sequence[torch.nn.Parameter], on_progress: Progress) -> float:
    optimizer = torch.optim.AdamW(parameters, lr=phase.rate, betas=_BETAS, weight_decay=_WEIGHT_DECAY)
    accuracies: list[float] = []
    for step in range(phase.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, phase.num_steps, phase.rate)
        loss, accuracy = phase.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, _MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        accuracies.append(accuracy)
        on_progress(phase.name, step + 1, phase.num_steps, loss.item(), accuracy)
    last = accuracies[-max(phase.num_steps // 10, 1) :]
    return sum(last) / max(len(last), 1)


def build_base_model(out: Path, *, seed: int, recipe: Recipe | None = None, threads: int = 1) -> None:
    """Make the folder `out`: the trained base model, and `origin.json` with what made it and what it can do.

    Progress goes to standard output, a line every fifty steps. One thread is as fast as two and gives the same weights
    on any number of cores.

    Raises:
        ConfigError: there is such a folder already.
        StorageError: there is no room.
    """
    recipe = recipe or Recipe()
    start_s = time.perf_counter()
    if out.exists():
        raise ConfigError(f"{out} exists already; remove it or choose another folder")
    torch.set_num_threads(threads)

    def tell(phase: str, step: int, num_steps: int, loss: float, accuracy: float) -> None:
        if step % _TELL_EVERY == 0 or step == num_steps:
            seconds = time.perf_counter() - start_s
            print(f"{phase} {step}/{num_steps}: loss {loss:.3f}, accuracy {accuracy:.2f}, {seconds:.0f} s", flush=True)

    loaded, accuracy = train_base_model(seed=seed, recipe=recipe, on_progress=tell)
    origin = {
        "command": f"visionthink base-model build --out {out.name} --seed {seed}",
        "seed": seed,
        "recipe": asdict(recipe),
        "phase_accuracy": {phase: round(value, 4) for phase, value in accuracy.items()},
        "examination": examine(loaded, seed=seed),
        "num_parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
        "seconds": round(time.perf_counter() - start_s, 1),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    save_model(loaded, out, RunConfig(), extra={"origin.json": origin})
    print(f"{out}: made in {origin['seconds']} s", flush=True)

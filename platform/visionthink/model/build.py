"""Makes the embedded base model from nothing, in four phases (docs/adr/0004); one of windows practices in a fifth.

sight: the vision tower learns to see, through throw-away readouts. Then it is frozen, and the language model learns
recital: to look an attribute up by the cue right before it; question: which question means which attribute; episode:
the format of whole episodes, in which half of the replies ask for the larger view whatever the question.

So the base model reads and keeps the format, and has nothing left to learn but when to ask.

A base model that looks at regions is made from nothing as well, in the same phases: its tower also sees windows and
learns where every panel stands, and its lessons are about windows and places too (`region_lesson`). A model that
reinforcement learning could not start from is refused (`examination`). What differs between base models is a `Making`.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import torch
import transformers

from visionthink.config import RunConfig, load_config
from visionthink.core.closer_look import LOOK_AT, LOOK_NEAR, LookAt
from visionthink.core.geometry import ViewRule
from visionthink.engines.encoding import Encoder
from visionthink.errors import ConfigError
from visionthink.model.architecture import build_config, build_model, build_processor
from visionthink.model.examination import OF_QUARTERS, OF_WINDOWS, LeastAim, examine, examine_regions
from visionthink.model.folder import LoadedModel, halve, save_model
from visionthink.model.gaze import shown_attention
from visionthink.model.lesson import Lesson, Teacher
from visionthink.model.lesson_loss import lesson_loss
from visionthink.model.patch_embedding import use_linear_patches
from visionthink.model.region_lesson import GRID_SHARES, SCATTERED_SHARES, RegionTeacher, Shares
from visionthink.model.schedule import cosine_rate
from visionthink.model.sight import REGION_SIGHTS, SCATTERED_SIGHTS, WHOLE_SIGHTS, SightPhase, Sights

_BETAS: Final = (0.9, 0.98)
_WEIGHT_DECAY: Final = 0.01
_MAX_GRAD_NORM: Final = 1.0
_TELL_EVERY: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Steps, batch sizes and peak learning rates of the phases."""

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
    gaze_weight: float = 0.0
    """Of the loss that tells the language model where to look, in the phases up to here (`gaze`)."""
    practice_steps: int = 0
    """Further steps of episodes in which it is not told, and so may look elsewhere again, as at what a call copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What a base model is made of."""

    preset: str | None
    """The settings that it is asked with; None for the defaults."""
    recipe: Recipe
    sights: Sights
    tool: LookAt | None
    """What it looks at regions with; None of one that asks for the whole alone."""
    shares: Shares = GRID_SHARES
    """How often it hears lessons of each kind, if it looks at regions."""
    least_aim: LeastAim = OF_QUARTERS
    """What it must come to, or it is refused."""

    @property
    def is_halved(self) -> bool:
        """Whether the file of its weights holds 16 bits a weight: all in 32 would be too large to ship."""
        return self.tool is not None

    def config(self) -> RunConfig:
        """The settings that it is asked with."""
        return RunConfig() if self.preset is None else load_config(None, preset=self.preset)

    def teacher(self, rule: ViewRule, rng: random.Random) -> Teacher:
        """Who makes its lessons."""
        layout = self.sights.layout
        if self.tool is None:
            return Teacher(rule=rule, rng=rng, layout=layout)
        return RegionTeacher(rule=rule, rng=rng, layout=layout, tool=self.tool, shares=self.shares)


EMBEDDED_MAKING: Final = Making(preset=None, recipe=Recipe(), sights=WHOLE_SIGHTS, tool=None)
REGION_MAKING: Final = Making(
    preset="region",
    recipe=Recipe(recital_steps=500, question_steps=500),  # there is more to be looked up
    sights=REGION_SIGHTS,
    tool=LOOK_AT,
)
SCATTERED_MAKING: Final = Making(
    preset="scattered",
    recipe=Recipe(
        sight_steps=2800,
        sight_batch=40,
        recital_steps=600,
        episode_steps=1200,
        gaze_weight=0.5,
        practice_steps=1200,
    ),
    sights=SCATTERED_SIGHTS,
    tool=LOOK_NEAR,
    shares=SCATTERED_SHARES,
    least_aim=OF_WINDOWS,
)
MAKINGS: Final[Mapping[str, Making]] = {
    "embedded": EMBEDDED_MAKING,
    "region": REGION_MAKING,
    "scattered": SCATTERED_MAKING,
}
"""By the preset that a model is the base of."""

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


def train_base_model(
    *, seed: int, on_progress: Progress, making: Making = EMBEDDED_MAKING
) -> tuple[LoadedModel, dict[str, float]]:
    """The model; and the mean accuracy over the last tenth of each phase."""
    recipe, sights = making.recipe, making.sights
    processor = build_processor(sights.layout)
    model = build_model(build_config(processor.tokenizer), seed=seed)
    use_linear_patches(model)
    encoder = Encoder(processor, max_pixel_bytes=2**20)
    rule = making.config().view.rule()
    sight = SightPhase(
        model,
        processor,
        rule=rule,
        batch_size=recipe.sight_batch,
        rng=random.Random(f"{seed}/sight"),
        sights=sights,
    )
    teacher = making.teacher(rule, random.Random(f"{seed}/lessons"))
    seeing = Phase("sight", sight.loss, recipe.sight_steps, recipe.sight_rate)
    accuracy = {seeing.name: _run(seeing, sight.parameters(), on_progress)}
    loaded = LoadedModel(model, processor)
    return loaded, accuracy | _taught(loaded, encoder, teacher, recipe, on_progress)


def _taught(
    loaded: LoadedModel, encoder: Encoder, teacher: Teacher, recipe: Recipe, on_progress: Progress
) -> dict[str, float]:
    """Accuracy by phase of the language model, which learns behind a frozen tower: seeing is not to be unlearned."""

    def lesson(make: Callable[[], Lesson], batch_size: int, gaze_weight: float = recipe.gaze_weight) -> Loss:
        return lambda: lesson_loss(loaded.model, encoder, [make() for _ in range(batch_size)], gaze_weight=gaze_weight)

    told = (
        Phase("recital", lesson(teacher.recital, recipe.recital_batch), recipe.recital_steps, recipe.recital_rate),
        Phase(
            "question",
            lesson(teacher.question_round, recipe.question_batch),
            recipe.question_steps,
            recipe.question_rate,
        ),
        Phase("episode", lesson(teacher.episode, recipe.episode_batch), recipe.episode_steps, recipe.episode_rate),
    )
    alone = lesson(teacher.episode, recipe.episode_batch, 0.0)
    practice = Phase("practice", alone, recipe.practice_steps, recipe.episode_rate)
    tower = cast("Any", loaded.model).model.visual
    tower.requires_grad_(False)
    trained = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    with shown_attention(loaded.model) if recipe.gaze_weight else nullcontext():
        accuracy = {phase.name: _run(phase, trained, on_progress) for phase in told}
    if practice.num_steps:
        accuracy[practice.name] = _run(practice, trained, on_progress)
    tower.requires_grad_(True)
    return accuracy


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


def build_base_model(out: Path, *, seed: int, making: Making = EMBEDDED_MAKING, threads: int = 1) -> None:
    """Make the folder `out`: the trained base model, and `origin.json` with what made it and what it can do.

    Progress goes to standard output, a line every fifty steps. One thread is as fast as two and gives the same weights
    on any number of cores.

    Raises:
        ConfigError: there is such a folder already, or what was built cannot learn where to look.
        StorageError: there is no room.
    """
    start_s = time.perf_counter()
    if out.exists():
        raise ConfigError(f"{out} exists already; remove it or choose another folder")
    torch.set_num_threads(threads)

    def tell(phase: str, step: int, num_steps: int, loss: float, accuracy: float) -> None:
        if step % _TELL_EVERY == 0 or step == num_steps:
            seconds = time.perf_counter() - start_s
            print(f"{phase} {step}/{num_steps}: loss {loss:.3f}, accuracy {accuracy:.2f}, {seconds:.0f} s", flush=True)

    loaded, accuracy = train_base_model(seed=seed, on_progress=tell, making=making)
    if making.is_halved:
        halve(loaded.model)  # before it is examined
    option = "" if making.preset is None else f" --preset {making.preset}"
    origin = {
        "command": f"visionthink base-model build --out {out.name} --seed {seed}{option}",
        "seed": seed,
        "recipe": asdict(making.recipe),
        "phase_accuracy": {phase: round(value, 4) for phase, value in accuracy.items()},
        **_examined(loaded, making, seed),
        "num_parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
        "seconds": round(time.perf_counter() - start_s, 1),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    save_model(loaded, out, making.config(), extra={"origin.json": origin}, halved=making.is_halved)
    print(f"{out}: made in {origin['seconds']} s", flush=True)


def _examined(loaded: LoadedModel, making: Making, seed: int) -> dict[str, object]:
    if making.tool is None:
        return {"examination": examine(loaded, seed=seed)}
    examination, regions = examine_regions(loaded, making.config(), seed=seed)
    if problems := list(regions.problems(making.least_aim)):
        raise ConfigError(
            f"the base model of seed {seed} cannot learn where to look: {'; '.join(problems)}. Take another seed"
        )
    return {"examination": examination, "regions": asdict(regions)}

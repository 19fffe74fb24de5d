"""A report input as a good run of the embedded world would make it, for tests and for looking at."""

import dataclasses
import io
import math
import random

from PIL import Image, ImageDraw

from visionthink import metrics
from visionthink.core.gate import ContenderRole
from visionthink.report.record import (
    BenchmarkFigures,
    Confusion,
    ContenderFigures,
    Curve,
    Example,
    FamilyFigures,
    Interval,
    PairedFigures,
    ReportInput,
    ShownTurn,
    ShownView,
)

FAMILIES = {
    "code": (True, False),
    "axis label": (True, False),
    "small text": (True, False),
    "serial": (True, False),
    "plate": (True, True),
    "colour": (False, False),
    "shape": (False, False),
    "count": (False, False),
    "position": (False, False),
    "size": (False, True),
}


def view(side: int) -> ShownView:
    picture = Image.new("RGB", (112, 112), "#f3efe6")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((12, 20, 70, 78), fill="#2b6cb0")
    draw.rectangle((74, 78, 104, 100), fill="white", outline="black")
    draw.text((79, 82), "47", fill="black")
    buffer = io.BytesIO()
    picture.resize((side, side), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return ShownView(data=buffer.getvalue(), width=side, height=side, visual_tokens=(side // 28) ** 2)


def example(*, asks: bool, correct: bool = True) -> Example:
    question = "what is the code on the tag ?" if asks else "what colour is the shape ?"
    want, got = ("47", "47" if correct else "41") if asks else ("blue", "blue" if correct else "green")
    turns = [ShownTurn(speaker="user", text=f"{question} you may ask for more pixels .", views=(view(56),))]
    tokens = 4
    if asks:
        call = '<tool_call> {"name": "resize_image", "arguments": {"action": "resize"}} </tool_call>'
        turns += [
            ShownTurn(speaker="assistant", text=f"<think> too small to read </think> {call}"),
            ShownTurn(speaker="user", text="here is the larger image .", views=(view(112),)),
        ]
        tokens += 16
    turns.append(ShownTurn(speaker="assistant", text=f"<think> I can see it </think> <answer> {got} </answer>"))
    return Example(
        question=question,
        family="code" if asks else "colour",
        needs_high_res=asks,
        want=want,
        got=got,
        score=float(correct),
        visual_tokens=tokens,
        turns=tuple(turns),
    )


def curves(num_steps: int = 160) -> tuple[Curve, ...]:
    rng = random.Random(0)

    def rise(low: float, high: float, middle: float, noise: float) -> tuple[tuple[int, float], ...]:
        return tuple(
            (step, low + (high - low) / (1 + math.exp(-(step - middle) / 14)) + rng.gauss(0, noise))
            for step in range(1, num_steps + 1)
        )

    def share(low: float, high: float, middle: float, noise: float) -> tuple[tuple[int, float], ...]:
        return tuple((step, min(1.0, max(0.0, value))) for step, value in rise(low, high, middle, noise))

    zero = tuple((step, float(round(max(0, value)))) for step, value in rise(2, 11, 80, 1.5))
    failed = tuple((step, 1.0 if step % 41 == 0 else 0.0) for step, _ in zero)
    kept = tuple((step, 16 - value - lost) for (step, value), (_, lost) in zip(zero, failed, strict=True))
    return (
        Curve(key=metrics.REWARD_MEAN.key(), points=rise(0.95, 1.46, 45, 0.04)),
        Curve(key=metrics.REWARD_ACCURACY.key(), points=share(0.6, 0.98, 45, 0.04)),
        Curve(key=metrics.REWARD_FORMAT.key(), points=share(0.95, 0.999, 15, 0.01)),
        Curve(key=metrics.REWARD_PENALTY.key(), points=share(0.06, 0.03, 40, 0.008)),
        Curve(key=metrics.RESIZE_RATE_NEEDED.key(), points=share(0.5, 0.99, 40, 0.05)),
        Curve(key=metrics.RESIZE_RATE_NOT_NEEDED.key(), points=share(0.48, 0.01, 45, 0.04)),
        Curve(key=metrics.RESIZE_RATE.key(), points=share(0.49, 0.34, 45, 0.04)),
        Curve(key=metrics.POLICY_KL.key(), points=rise(0.0, 0.21, 50, 0.006)),
        Curve(key=metrics.POLICY_ENTROPY.key(), points=rise(0.34, 0.04, 45, 0.01)),
        Curve(key=metrics.GROUP_NUM_KEPT.key(), points=kept),
        Curve(key=metrics.GROUP_NUM_ZERO_VARIANCE.key(), points=zero),
        Curve(key=metrics.GROUP_NUM_JUDGE_FAILED.key(), points=failed),
    )


def contenders() -> tuple[ContenderFigures, ...]:
    def one(
        name: str,
        label: str,
        role: ContenderRole,
        accuracy: float,
        half: float,
        tokens: float,
        spread: float,
        rates: tuple[float, float, float],
    ) -> ContenderFigures:
        return ContenderFigures(
            name=name,
            label=label,
            role=role,
            num_samples=1200,
            accuracy=Interval(value=accuracy, low=accuracy - half, high=min(1.0, accuracy + half)),
            visual_tokens=Interval(value=tokens, low=tokens - spread, high=tokens + spread),
            resize_rate=rates[0],
            resize_rate_needed=rates[1],
            resize_rate_not_needed=rates[2],
            latency_s=0.011 + tokens / 2000,
            latency_p50_s=0.010 + tokens / 2000,
            latency_p95_s=0.014 + tokens / 1500,
            reply_tokens=12 + 18 * rates[0],
            accuracy_asked=accuracy - 0.01 if rates[0] else None,
            accuracy_direct=accuracy + 0.004,
            regret=0.984 - accuracy,
            visual_token_ratio=tokens / 16,
            paired=None if role is ContenderRole.CANDIDATE else paired(0.976 - accuracy),
        )

    role = ContenderRole
    return (
        one("always_low", "quarter view only", role.QUARTER_VIEW, 0.676, 0.027, 4.0, 0.0, (0.0, 0.0, 0.0)),
        one("always_high", "full view always", role.FULL_VIEW, 0.981, 0.008, 16.0, 0.0, (0.0, 0.0, 0.0)),
        one("base", "base model", role.BASE, 0.829, 0.021, 11.8, 0.45, (0.487, 0.512, 0.475)),
        one("trained", "trained model", role.CANDIDATE, 0.976, 0.009, 9.36, 0.43, (0.335, 0.983, 0.011)),
    )


def paired(difference: float) -> PairedFigures:
    """The trained model against another one."""
    lost = 7
    won = max(0, lost + round(1200 * difference))
    return PairedFigures(
        num_samples=1200, difference=difference, won=won, lost=lost, p_value=0.21 if abs(won - lost) < 9 else 1e-9
    )


def benchmarks() -> tuple[BenchmarkFigures, ...]:
    """Several sets of questions, three of them published."""

    def one(name: str, *scores: float, **official: tuple[float, ...]) -> BenchmarkFigures:
        among = tuple(
            dataclasses.replace(
                figures, accuracy=Interval(value=score, low=max(0.0, score - 0.03), high=min(1.0, score + 0.03))
            )
            for figures, score in zip(contenders(), scores, strict=True)
        )
        figures = {
            contender.name: {figure: values[place] for figure, values in official.items()}
            for place, contender in enumerate(among)
        }
        return BenchmarkFigures(name=name, contenders=among, official=figures, origin=f"run of {name}")

    return (
        one("chartqa", 0.631, 0.798, 0.702, 0.781, augmented=(0.7, 0.9, 0.8, 0.88), human=(0.55, 0.68, 0.6, 0.67)),
        one("mme", 0.81, 0.84, 0.82, 0.838, total=(2270.0, 2316.0, 2280.4, 2307.25)),
        one("pope", 0.83, 0.87, 0.84, 0.86, f1=(0.828, 0.867, 0.841, 0.86)),
        one("picture world", 0.676, 0.981, 0.829, 0.976),
    )


def champion() -> ContenderFigures:
    """A model in use, on which three questions failed."""
    return dataclasses.replace(
        contenders()[2],
        name="champion",
        label="model in use",
        role=ContenderRole.INCUMBENT,
        accuracy=Interval(value=0.94, low=0.92, high=0.96),
        visual_tokens=Interval(value=10.1, low=9.7, high=10.5),
        failures={"connection refused": 2, "the judge gave no grade": 1},
    )


def families() -> tuple[FamilyFigures, ...]:
    rng = random.Random(1)
    found = []
    for family, (needed, held_out) in FAMILIES.items():
        for one in contenders():
            trained = 0.98 if needed else 0.012
            asks = {ContenderRole.BASE: 0.5, ContenderRole.CANDIDATE: trained}.get(one.role, 0.0)
            accuracy = 0.97
            if needed and one.role is ContenderRole.QUARTER_VIEW:
                accuracy = 0.09
            if needed and one.role is ContenderRole.BASE:
                accuracy = 0.53
            found.append(
                FamilyFigures(
                    family=family,
                    contender=one.name,
                    needs_high_res=needed,
                    held_out=held_out,
                    num_samples=120,
                    accuracy=min(1.0, accuracy + rng.uniform(-0.03, 0.03)),
                    resize_rate=min(1.0, max(0.0, asks + (rng.uniform(-0.02, 0.02) if asks else 0))),
                    visual_tokens=16.0 if one.role is ContenderRole.FULL_VIEW else 4 + 16 * asks,
                    latency_s=0.02,
                )
            )
    return tuple(found)


def report_input() -> ReportInput:
    return ReportInput(
        title="Embedded picture world, seed 0",
        subtitle="tiny Qwen2.5-VL, 1.2 M parameters · run 20261123-181500 · 1,200 held-out questions",
        contenders=contenders(),
        benchmarks=(BenchmarkFigures(name="picture world", contenders=contenders(), origin="run 20261123-181500"),),
        families=families(),
        curves=curves(),
        confusion=Confusion(needed_asked=393, needed_answered=7, not_needed_asked=9, not_needed_answered=791),
        examples=(example(asks=True), example(asks=False), example(asks=True, correct=False)),
        notes=("The model in use (version 3) is the one that is judged here.",),
        config={
            "seed": "0",
            "train.learning_rate": "0.0001",
            "train.kl_coef": "0.05",
            "train.num_steps": "160",
            "reward.penalty_rule": "paper",
            "reward.theta": "0.2",
            "world.families": '["code", "axis label"]',
            "protocol": "compact-efficient-v1",
        },
        seconds={"label": 61.2, "train": 301.4, "evaluate": 48.9, "register": 6.0, "serve": 11.7, "total": 431.0},
    )

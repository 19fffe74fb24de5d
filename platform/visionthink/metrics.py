"""The name, unit and meaning of every number that reaches a chart.

Rule of this file: a number has ONE name, `group/noun[_unit]`, and the same name is used by MLflow, by the report and
(through `Metric.prometheus`) by a scrape. A tracker refuses a name that is not here, so that a chart can never hold a
number that nobody explained. `docs/metrics.md` is written from this file by `to_markdown`; a test fails when stale.

Naming: counts start with `num_`, means end with `_mean`, seconds with `_s`, other shares of one with `_ratio`; accuracy
and resize rate are shares too, and keep the names that the method's paper gave them.
A metric with labels becomes one MLflow key per value: `EVAL_ACCURACY.key(row="trained")` is `eval/accuracy/trained`.
"""

from collections.abc import Iterable
from functools import partial

from visionthink.errors import UserError
from visionthink.metric import Better, Kind, Metric, Unit, check_names, escaped, unescaped

__all__ = ["Better", "Kind", "Metric", "Unit", "check_names", "escaped", "unescaped"]

_defined: list[Metric] = []


def _metric(name: str, unit: Unit, better: Better, meaning: str, *labels: str, kind: Kind = Kind.GAUGE) -> Metric:
    """Define a metric and put it on the list of all."""
    _defined.append(Metric(name=name, unit=unit, better=better, meaning=meaning, labels=labels, kind=kind))
    return _defined[-1]


_UP, _DOWN, _DEPENDS = Better.HIGHER, Better.LOWER, Better.DEPENDS

# --- one value a training step ---
REWARD_MEAN = _metric("reward/mean", Unit.POINTS, _UP, "Mean total reward of the step's rollouts.")
REWARD_STD = _metric(
    "reward/std", Unit.POINTS, _DEPENDS, "Standard deviation of the total reward; near 0 nothing is left to learn from."
)
REWARD_ACCURACY = _metric("reward/accuracy", Unit.SHARE, _UP, "Mean accuracy part: share of rollouts judged correct.")
REWARD_FORMAT = _metric("reward/format", Unit.SHARE, _UP, "Share of rollouts whose every turn keeps the format.")
REWARD_PENALTY = _metric("reward/penalty", Unit.POINTS, _DOWN, "Mean penalty taken off for asking, or for not asking.")

RESIZE_RATE = _metric(
    "resize/rate", Unit.SHARE, _DEPENDS, "Share of rollouts that asked for a further view and were shown it."
)
RESIZE_RATE_NEEDED = _metric(
    "resize/rate_needed", Unit.SHARE, _UP, "The same share among the samples that need the full resolution."
)
RESIZE_RATE_NOT_NEEDED = _metric(
    "resize/rate_not_needed", Unit.SHARE, _DOWN, "The same share among the samples that the quarter view answers."
)

LOOK_WHOLE_RATIO = _metric(
    "look/whole_ratio", Unit.SHARE, _DEPENDS, "Share of the rollouts that asked which were shown the whole picture."
)
LOOK_RIGHT_RATIO = _metric(
    "look/right_ratio",
    Unit.SHARE,
    _UP,
    "Share of the rollouts that were shown a region which were shown the one that holds the evidence, where that is "
    "known and the quarter view does not show it.",
)
LOOK_VISUAL_TOKENS_MEAN = _metric(
    "look/visual_tokens_mean",
    Unit.TOKENS,
    _DOWN,
    "Mean visual tokens that a rollout was shown as its first view, its second, and so on.",
    "view",
)

POLICY_KL = _metric("policy/kl", Unit.NATS, _DOWN, "Mean k3 estimate of the distance from the base model.")
POLICY_ENTROPY = _metric("policy/entropy", Unit.NATS, _DEPENDS, "Mean entropy over the tokens that the model wrote.")
POLICY_CLIP_RATIO = _metric(
    "policy/clip_ratio", Unit.SHARE, _DOWN, "Share of the model's tokens whose probability ratio was clipped."
)
POLICY_TURNS_MEAN = _metric("policy/turns_mean", Unit.COUNT, _DEPENDS, "Mean number of turns of a rollout.")
POLICY_REPLY_TOKENS_MEAN = _metric(
    "policy/reply_tokens_mean", Unit.TOKENS, _DEPENDS, "Mean number of tokens that the model wrote, all turns."
)
POLICY_VISUAL_TOKENS_MEAN = _metric(
    "policy/visual_tokens_mean", Unit.TOKENS, _DOWN, "Mean number of visual tokens of a rollout, summed over its views."
)
POLICY_TRUNCATED_RATIO = _metric(
    "policy/truncated_ratio", Unit.SHARE, _DOWN, "Share of rollouts cut off at the token limit."
)

OPTIM_LOSS = _metric("optim/loss", Unit.NUMBER, _DEPENDS, "Policy loss with KL term and entropy bonus, as minimised.")
OPTIM_GRAD_NORM = _metric("optim/grad_norm", Unit.NUMBER, _DEPENDS, "Norm of the gradient before clipping.")
OPTIM_LEARNING_RATE = _metric("optim/learning_rate", Unit.NUMBER, _DEPENDS, "Learning rate of the step.")

GROUP_NUM_KEPT = _metric("group/num_kept", Unit.COUNT, _UP, "Groups that gave a policy gradient.")
GROUP_NUM_ZERO_VARIANCE = _metric(
    "group/num_zero_variance", Unit.COUNT, _DOWN, "Groups dropped because all rollouts had the same reward."
)
GROUP_NUM_JUDGE_FAILED = _metric(
    "group/num_judge_failed", Unit.COUNT, _DOWN, "Groups dropped because the judge failed on one of their rollouts."
)

GROUP_NUM_REPLACED = _metric(
    "group/num_replaced",
    Unit.COUNT,
    _DOWN,
    "Of the groups that gave none, those that further prompts replaced (`verl.filter_groups`).",
)
GROUP_NUM_ROLLOUTS_FAILED = _metric(
    "group/num_rollouts_failed", Unit.COUNT, _DOWN, "Rollouts that engine or judge failed on; they are in no mean."
)

PERF_STEP_S = _metric("perf/step_s", Unit.SECONDS, _DOWN, "Wall time of a training step.")
PERF_ROLLOUT_S = _metric("perf/rollout_s", Unit.SECONDS, _DOWN, "Part of a step spent on rollouts and judging.")
PERF_TRAIN_S = _metric("perf/train_s", Unit.SECONDS, _DOWN, "Part of a step spent on the gradient.")

# --- labelling ---
LABEL_NUM_SAMPLES = _metric("label/num_samples", Unit.COUNT, _DEPENDS, "Samples that were labelled.")
LABEL_NUM_NEEDED = _metric("label/num_needed", Unit.COUNT, _DEPENDS, "Samples labelled: needs the full resolution.")
LABEL_NUM_NOT_NEEDED = _metric(
    "label/num_not_needed", Unit.COUNT, _DEPENDS, "Samples labelled: the quarter view is enough."
)
LABEL_NUM_DISCARDED = _metric(
    "label/num_discarded", Unit.COUNT, _DOWN, "Samples left out because their rollouts decide nothing."
)
LABEL_NUM_FAILED = _metric("label/num_failed", Unit.COUNT, _DOWN, "Samples left out because an engine or judge failed.")
LABEL_AGREEMENT_RATIO = _metric(
    "label/agreement_ratio", Unit.SHARE, _UP, "Share of kept labels that equal the ground truth, where one is known."
)
LABEL_ACCURACY_QUARTER = _metric(
    "label/accuracy_quarter", Unit.SHARE, _DEPENDS, "Share of correct rollouts on the quarter view."
)
LABEL_ACCURACY_FULL = _metric("label/accuracy_full", Unit.SHARE, _UP, "Share of correct rollouts on the full view.")

LABEL_NUM_REGION = _metric(
    "label/num_region", Unit.COUNT, _UP, "Samples labelled: needs more than the quarter view, and one region suffices."
)
LABEL_REGION_AGREEMENT_RATIO = _metric(
    "label/region_agreement_ratio",
    Unit.SHARE,
    _UP,
    "Share of these regions that hold the evidence, where that is known.",
)

LABEL_FORECAST_BRIER = _metric(
    "label/forecast_brier", Unit.NUMBER, _DOWN, "Brier score of the forecast of a call, on questions it never saw."
)
LABEL_FORECAST_BRIER_UNSEEN = _metric(
    "label/forecast_brier_unseen", Unit.NUMBER, _DOWN, "The same Brier score, on families that the forecast never saw."
)
LABEL_FORECAST_ERROR_UNSEEN = _metric(
    "label/forecast_error_unseen",
    Unit.SHARE,
    _DOWN,
    "Mean distance from forecast to share that came true, on these families.",
)

# --- evaluation: row is the name of a contender, such as always_low, always_high, base, trained or champion ---
EVAL_NUM_SAMPLES = _metric(
    "eval/num_samples", Unit.COUNT, _DEPENDS, "Held-out samples that were answered and graded.", "row"
)
EVAL_NUM_FAILED = _metric(
    "eval/num_failed", Unit.COUNT, _DOWN, "Samples in no figure because an engine or judge failed on them.", "row"
)
EVAL_ACCURACY = _metric("eval/accuracy", Unit.SHARE, _UP, "Mean score: share of correct answers.", "row")
EVAL_ACCURACY_LOW = _metric(
    "eval/accuracy_low", Unit.SHARE, _UP, "Lower end of the 95 % interval of the accuracy.", "row"
)
EVAL_ACCURACY_HIGH = _metric(
    "eval/accuracy_high", Unit.SHARE, _UP, "Upper end of the 95 % interval of the accuracy.", "row"
)
EVAL_RESIZE_RATE = _metric(
    "eval/resize_rate", Unit.SHARE, _DEPENDS, "Share of samples on which a further view was asked for and shown.", "row"
)
EVAL_RESIZE_RATE_NEEDED = _metric(
    "eval/resize_rate_needed", Unit.SHARE, _UP, "Resize rate on samples that need the full resolution.", "row"
)
EVAL_RESIZE_RATE_NOT_NEEDED = _metric(
    "eval/resize_rate_not_needed", Unit.SHARE, _DOWN, "Resize rate on samples that the quarter view answers.", "row"
)
EVAL_WHOLE_RATIO = _metric(
    "eval/whole_ratio", Unit.SHARE, _DEPENDS, "Share of samples with a further view that showed the whole.", "row"
)
EVAL_RIGHT_REGION_RATIO = _metric(
    "eval/right_region_ratio",
    Unit.SHARE,
    _UP,
    "Share of samples with a region shown whose evidence lies in it, where that is known and the quarter view does not "
    "show it.",
    "row",
)
EVAL_VISUAL_TOKENS_ASKED = _metric(
    "eval/visual_tokens_asked", Unit.TOKENS, _DOWN, "Mean visual tokens of a sample beyond its first view.", "row"
)
EVAL_ACCURACY_NEEDED = _metric(
    "eval/accuracy_needed", Unit.SHARE, _UP, "Mean score on samples that need the full resolution.", "row"
)
EVAL_ACCURACY_ASKED = _metric(
    "eval/accuracy_asked", Unit.SHARE, _UP, "Mean score where a further view was shown.", "row"
)
EVAL_ACCURACY_DIRECT = _metric("eval/accuracy_direct", Unit.SHARE, _UP, "Mean score where none was.", "row")
EVAL_REGRET = _metric(
    "eval/regret",
    Unit.SHARE,
    _DOWN,
    "Mean score that the base model would have with a perfect choice of the view, minus that of the row.",
    "row",
)
EVAL_PAIRED_DIFFERENCE = _metric(
    "eval/paired_difference",
    Unit.SHARE,
    _UP,
    "Mean score of the candidate minus that of the row, on the samples that both answered.",
    "row",
)
EVAL_PAIRED_P_VALUE = _metric(
    "eval/paired_p_value",
    Unit.SHARE,
    _DEPENDS,
    "How often samples that favour neither would fall at least as unevenly; small means that it is no accident.",
    "row",
)
EVAL_NUM_WON = _metric("eval/num_won", Unit.COUNT, _UP, "Samples on which the candidate scores higher.", "row")
EVAL_NUM_LOST = _metric("eval/num_lost", Unit.COUNT, _DOWN, "Samples on which the candidate scores lower.", "row")
EVAL_SHORTCUT_RATE = _metric(
    "eval/shortcut_rate", Unit.SHARE, _DEPENDS, "Share of samples that began with the full view.", "row"
)
EVAL_VISUAL_TOKENS_MEAN = _metric(
    "eval/visual_tokens_mean",
    Unit.TOKENS,
    _DOWN,
    "Mean visual tokens of a sample, as its row counts them: of all views.",
    "row",
)
EVAL_VISUAL_TOKEN_RATIO = _metric(
    "eval/visual_token_ratio",
    Unit.SHARE,
    _DOWN,
    "Visual tokens divided by those of the full view; can exceed 1.",
    "row",
)
EVAL_REPLY_TOKENS_MEAN = _metric(
    "eval/reply_tokens_mean", Unit.TOKENS, _DEPENDS, "Mean number of tokens that the model wrote, all turns.", "row"
)
EVAL_LATENCY_S = _metric("eval/latency_s", Unit.SECONDS, _DOWN, "Mean seconds from question to final answer.", "row")
EVAL_LATENCY_P50_S = _metric("eval/latency_p50_s", Unit.SECONDS, _DOWN, "Median of the same.", "row")
EVAL_LATENCY_P95_S = _metric("eval/latency_p95_s", Unit.SECONDS, _DOWN, "95th percentile of the same.", "row")

EVAL_FAMILY_ACCURACY = _metric(
    "eval/family_accuracy", Unit.SHARE, _UP, "Mean score within a family of questions.", "row", "family"
)
EVAL_FAMILY_RESIZE_RATE = _metric(
    "eval/family_resize_rate", Unit.SHARE, _DEPENDS, "Resize rate within a family.", "row", "family"
)
EVAL_FAMILY_VISUAL_TOKENS_MEAN = _metric(
    "eval/family_visual_tokens_mean", Unit.TOKENS, _DOWN, "Mean visual tokens within a family.", "row", "family"
)
EVAL_FAMILY_LATENCY_S = _metric(
    "eval/family_latency_s", Unit.SECONDS, _DOWN, "Mean seconds to the answer within a family.", "row", "family"
)
EVAL_OFFICIAL = _metric(
    "eval/official",
    Unit.COUNT,
    _UP,
    "A figure under which a public benchmark is published, in its units.",
    "row",
    "figure",
)

# --- the judge of a stage that asks a language model, in one try of the stage ---
JUDGE_COUNTS = {
    "num_told": _metric("judge/num_told", Unit.COUNT, _UP, "Answers that the rule told, so nobody was asked.", "stage"),
    "num_remembered": _metric("judge/num_remembered", Unit.COUNT, _UP, "Answers with a verdict of before.", "stage"),
    "num_calls": _metric("judge/num_calls", Unit.COUNT, _DOWN, "Questions put to the language model.", "stage"),
    "num_tokens": _metric("judge/num_tokens", Unit.COUNT, _DOWN, "Tokens of questions and replies.", "stage"),
    "num_unclear": _metric("judge/num_unclear", Unit.COUNT, _DOWN, "Replies without a clear verdict.", "stage"),
    "num_failed": _metric("judge/num_failed", Unit.COUNT, _DOWN, "Grades that could not be had.", "stage"),
}
"""By field of `judges.tally.JudgeTally`."""

# --- a whole stage ---
STAGE_S = _metric("stage/wall_s", Unit.SECONDS, _DOWN, "Wall time of a stage; `total` is the whole pipeline.", "stage")

# --- serving, scraped ---
_counter = partial(_metric, kind=Kind.COUNTER)
_histogram = partial(_metric, kind=Kind.HISTOGRAM)
SERVE_REQUESTS = _counter(
    "serve/requests",
    Unit.COUNT,
    _DEPENDS,
    "Requests by their end: an episode's outcome, or `rejected`, `overloaded`, `timeout`, `error`, `abandoned`.",
    "outcome",
)
SERVE_REJECTIONS = _counter(
    "serve/rejections", Unit.COUNT, _DOWN, "Requests without an answer, by the error's code.", "reason"
)
SERVE_DECISIONS = _counter(
    "serve/decisions",
    Unit.COUNT,
    _DEPENDS,
    "Answered requests by how the picture was looked at: `direct` or `closer` by the model's own choice, `shortcut` to "
    "the full view because a call was likely, `always_low` or `always_high` by the request's wish, `no_picture`.",
    "decision",
)
SERVE_RESIZES = _counter("serve/resizes", Unit.COUNT, _DEPENDS, "Larger views handed to the model.")
SERVE_VISUAL_TOKENS = _histogram("serve/visual_tokens", Unit.TOKENS, _DOWN, "Visual tokens of a request, all views.")
SERVE_FULL_VISUAL_TOKENS = _counter(
    "serve/full_visual_tokens",
    Unit.TOKENS,
    _DEPENDS,
    "Visual tokens that the full views alone would have cost; the sum of `serve/visual_tokens` below it is saved.",
)
SERVE_TURNS = _histogram("serve/turns", Unit.COUNT, _DEPENDS, "Turns of a request.")
SERVE_LATENCY_S = _histogram("serve/latency_s", Unit.SECONDS, _DOWN, "Seconds from request to complete answer.")
SERVE_TURN_S = _histogram("serve/turn_s", Unit.SECONDS, _DOWN, "Seconds that the engine took for a turn.")
SERVE_LOOK_S = _histogram(
    "serve/look_s", Unit.SECONDS, _DOWN, "Seconds of a `first`, `further` or `full` look.", "look"
)
SERVE_PICTURE_S = _histogram("serve/picture_s", Unit.SECONDS, _DOWN, "Seconds from a body to its decoded picture.")
SERVE_ENGINE_ERRORS = _counter(
    "serve/engine_errors",
    Unit.COUNT,
    _DOWN,
    "Turns that the engine failed on: `retryable`, `refused` or `no_room`.",
    "kind",
)
SERVE_QUEUE_S = _histogram("serve/queue_s", Unit.SECONDS, _DOWN, "Seconds that a request waited for the engine.")
SERVE_FIRST_BYTE_S = _histogram(
    "serve/first_byte_s", Unit.SECONDS, _DOWN, "Seconds from a question to its response's begin."
)
SERVE_FIRST_WORD_S = _histogram(
    "serve/first_word_s", Unit.SECONDS, _DOWN, "Seconds from a question to the first word of its streamed answer."
)
SERVE_KEY_REQUESTS = _counter(
    "serve/key_requests",
    Unit.COUNT,
    _DEPENDS,
    "Questions by the name of their API key; `any` where the server has more than 50 keys.",
    "key",
)
SERVE_NUM_IN_FLIGHT = _metric(
    "serve/num_in_flight", Unit.COUNT, _DEPENDS, "Questions that are uploaded, wait or are answered."
)
SERVE_NUM_QUEUED = _metric("serve/num_queued", Unit.COUNT, _DOWN, "Questions that wait for the engine.")
SERVE_NUM_TASKS = _metric(
    "serve/num_tasks", Unit.COUNT, _DEPENDS, "Tasks of the event loop; without requests it stays where it was."
)
SERVE_HELD_BYTES = _metric(
    "serve/held_bytes", Unit.NUMBER, _DEPENDS, "Bytes of bodies and pixels that the requests in flight hold."
)

METRICS: tuple[Metric, ...] = tuple(_defined)

_BY_NAME = {metric.name: metric for metric in METRICS}


def lookup(key: str) -> Metric:
    """Return the metric that an MLflow key belongs to.

    Raises:
        UserError: no metric has that name with that number of label values.
    """
    parts = key.split("/")
    metric = _BY_NAME.get("/".join(parts[:2]))
    if metric is None or len(parts) != 2 + len(metric.labels) or not all(parts):
        raise UserError(f"unknown metric {key!r}; every number has its name in visionthink.metrics, add it there")
    return metric


def check(keys: Iterable[str]) -> None:
    """Return when every key is registered.

    Raises:
        UserError: naming the first key that is not.
    """
    for key in keys:
        lookup(key)


def to_markdown() -> str:
    """Return the text of docs/metrics.md: one table a group, in the order of this file."""
    lines = [
        "# Metrics",
        "",
        "Written from `platform/visionthink/metrics.py`: edit that file, then run",
        "`python -m visionthink.metrics > docs/metrics.md`.",
        "`{...}` in a name stands for a label: one more path element in MLflow, a label in Prometheus.",
    ]
    group = ""
    for metric in METRICS:
        if metric.name.split("/")[0] != group:
            group = metric.name.split("/")[0]
            header = "| MLflow and report | Prometheus | unit | better | meaning |"
            lines += ["", f"## {group}", "", header, "|---|---|---|---|---|"]
        name = "/".join((metric.name, *(f"{{{label}}}" for label in metric.labels)))
        lines.append(f"| `{name}` | `{metric.prometheus}` | {metric.unit} | {metric.better} | {metric.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(to_markdown(), end="")

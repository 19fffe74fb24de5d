"""Settings of the single stages; the defaults are the vetted ones for the embedded model on two CPU cores."""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from visionthink.config.data import NonNegative, Positive, PositiveInt, Share
from visionthink.config.section import OPERATIONAL, Place, Section
from visionthink.core.label import LabelRule
from visionthink.core.reward import RewardRule


class ModelConfig(Section):
    """Which model is labelled with, trained and compared against."""

    base: Annotated[str, Place(words=("embedded", "embedded-region", "embedded-scattered"))] = "embedded"
    """`embedded` is the checkpoint that ships with the package, `embedded-region` the one that looks at quarters of
    a picture, `embedded-scattered` the one that looks at windows of it; else the folder of a Qwen2.5-VL model."""
    batch_size: Annotated[PositiveInt, OPERATIONAL] = 128
    """Rows that are generated at once."""
    engine: Annotated[str, OPERATIONAL] = Field(default="transformers", pattern=r"^(transformers|openai:https?://.+)$")
    """Where the base model's replies come from: `transformers` runs it here, `openai:http://HOST:PORT/v1?model=NAME`
    asks a server such as vLLM, or several that hold it (`openai:http://A/v1,http://B/v1?model=NAME`), with the key in
    OPENAI_API_KEY."""
    timeout_s: Annotated[Positive, OPERATIONAL] = 120.0
    """Of one try of one request to such a server."""
    max_connections: Annotated[PositiveInt, OPERATIONAL] = 64
    """Requests in flight to each such server."""
    max_in_flight: Annotated[PositiveInt, OPERATIONAL] = 256
    """Episodes at work at a time, and so pictures in memory; a few times the requests that the engine works on."""
    episode_timeout_s: Annotated[Positive, OPERATIONAL] = 1800.0
    """Of one try of an episode, with all that it waits for."""
    max_lost_ratio: Annotated[Share, OPERATIONAL] = 0.0
    """Share of samples that a stage may end without, though an engine or judge kept failing on them while others came
    off. With more it stops, and the same command asks for them again. What is refused for a fault of its own (a
    picture that a server finds broken) is counted apart and never stops it."""
    threads: Annotated[PositiveInt, OPERATIONAL] = 2
    """CPU threads of the stages that run the model."""
    processes: Annotated[PositiveInt, OPERATIONAL] = 1
    """Processes that labelling, the rollouts of a local training and evaluation run it in, on the CPU and each on a
    thread of its own. A model of a few million weights answers hardly faster on two threads than on one. Measured
    while labelling: two give 1.4 to 1.5 times as many answers a second."""


class EpisodeConfig(Section):
    """The loop that every stage drives."""

    protocol: str = "compact-efficient-v1"
    """Named texts that offer the tool. For Qwen2.5-VL-7B: `efficient-v1`, the paper's."""
    direct_protocol: str = "compact-general-v1"
    """Named texts without a tool, for labels and for the rows `always_low` and `always_high`."""
    tools: tuple[str, ...] = ("resize_image",)
    """Tools that the model may call, in the order in which it is told of them: `resize_image`, the paper's;
    `crop_image`, a region; `zoom_image`, the whole at a chosen size; `look_at`, a quarter by its name, or the whole;
    `look_near`, one of nine overlapping windows by its name, or the whole. `crop_image` and `zoom_image` go with the
    protocols `tools-v1` and `compact-tools-v1`, `look_at` and `look_near` with `compact-region-v1`."""
    max_turns: PositiveInt = 2
    """Turns in which a call is possible."""
    max_reply_tokens: PositiveInt = 40
    """Tokens of one reply; a longer one is cut and counts as truncated. The paper's released code: 8192."""


class RewardConfig(Section):
    """What an episode is worth; see `visionthink.core.reward`."""

    accuracy_weight: Positive = 1.0
    """Reward of a correct answer."""
    format_weight: NonNegative = 0.5
    """Reward of keeping the format."""
    penalty: Literal["paper", "released", "tokens", "none"] = "paper"
    """Whose rule: the paper's equations, its released code, `tokens` by the visual tokens asked for, or no penalty."""
    tool_penalty: NonNegative = 0.1
    """Taken off for asking; with `tokens`, for as many visual tokens after the first view as the full view has."""
    direct_penalty: NonNegative = 0.1
    """Taken off for not asking, where the rule says so."""
    theta: Share = 0.2
    """Share of direct answers among correct ones below which answering directly costs."""
    token_penalty: NonNegative = 0.0
    """Taken off on top of any rule, for as many visual tokens after the first view as the full view has."""
    format_rule: Literal["paper", "released"] = "paper"
    """`paper` also wants each call accepted by its tool, `released` checks only the tags."""
    advantage_eps: NonNegative = 1e-6
    """Added to a group's spread of rewards before dividing by it. A larger one quietens groups whose rewards hardly
    differ: they then weigh less than those with right and wrong answers."""

    @model_validator(mode="after")
    def _rule_fits(self) -> "RewardConfig":
        self.rule()
        return self

    def rule(self) -> RewardRule:
        """The core's own record."""
        return RewardRule(
            accuracy_weight=self.accuracy_weight,
            format_weight=self.format_weight,
            penalty=self.tool_penalty,
            direct_penalty=self.direct_penalty,
            theta=self.theta,
            rule=self.penalty,
            token_penalty=self.token_penalty,
        )


class JudgeConfig(Section):
    """Who says whether an answer is right."""

    uri: str = Field(default="rule", pattern=r"^(rule|(rule\+)?openai:https?://.+)$")
    """`rule` compares options, numbers with units, dates, formulas and words, and says where it cannot tell;
    `openai:http://HOST:PORT/v1?model=NAME` asks a language model, with the key in OPENAI_API_KEY; `rule+openai:...`
    asks it only for what the rule cannot tell. A judge that fails is never a wrong answer: the sample or the group is
    dropped."""
    prompt: Literal["strict", "paper", "verifier"] = "strict"
    """The texts that a language model is asked with: ours, which take the prediction for data; `paper`, the paper's for
    GPT-4o; or `verifier`, those of its open judge, Qwen3-1.7B."""
    timeout_s: Annotated[Positive, OPERATIONAL] = 120.0
    """Of one try of one question to the language model."""
    grade_timeout_s: Annotated[Positive, OPERATIONAL] = 300.0
    """Of one grade, with all tries and with all that it waits for; then it has failed."""
    max_connections: Annotated[PositiveInt, OPERATIONAL] = 64
    """Questions in flight."""
    max_calls: Annotated[PositiveInt | None, OPERATIONAL] = None
    """Questions that a run may put to the language model, in all its stages and tries; None: no bound. Then the stage
    stops, and what is not judged yet stays open."""
    max_tokens: Annotated[PositiveInt | None, OPERATIONAL] = None
    """The same for tokens, of questions and replies; those of the last calls in flight come on top."""
    cache: Annotated[str | None, Place(), OPERATIONAL] = None
    """File of every question and what was said, one JSON object a line: no verdict in it is asked for again. Several
    runs may name one. None: `judge/calls.jsonl` in the run's folder, and under veRL the memory of each worker, which
    then also counts what it may spend for itself."""


class LabelConfig(Section):
    """Which samples need the full resolution, by rollouts of the base model (paper, 3.5)."""

    num_samples: PositiveInt = 1280
    """Samples to label; half of a world's are drawn from families that need the full view. With half as many, training
    meets each sample so often that it learns some by heart: one seed of three then read too little on new pictures."""
    num_rollouts: PositiveInt = 8
    """Rollouts at each of the two sizes."""
    min_gap: PositiveInt = 6
    """Correct rollouts by which the full view must lead."""
    num_region_rollouts: int = Field(default=0, ge=0)
    """Rollouts on each region of `look_at` alone, or of `look_near` where that is on offer, of every sample labelled
    as needing the full view: they say which one suffices. 0 asks nothing."""
    shard_size: PositiveInt = 64
    """Samples per shard: what a killed run repeats at most."""

    def rule(self) -> LabelRule:
        """The core's own record."""
        return LabelRule(num_rollouts=self.num_rollouts, min_gap=self.min_gap)

    @model_validator(mode="after")
    def _gap_fits(self) -> "LabelConfig":
        self.rule()
        return self


class TrainConfig(Section):
    """Multi-turn GRPO."""

    backend: Literal["local", "verl"] = "local"
    """Who trains: `local` is torch on this machine, `verl` is veRL on Ray, with the section `verl`."""
    policy: Literal["auto", "always_low", "always_high"] = "auto"
    """How a picture is looked at while training: `auto` lets the model ask. `always_high` trains on the full view
    without a tool, the paper's baseline (QwenRL) and, with all samples, its General variant. Others than `auto` take
    `reward.penalty = "none"`; the trained model is evaluated as it was trained."""
    num_steps: PositiveInt = 150
    """Optimizer steps."""
    num_prompts: PositiveInt = 16
    """Prompts a step."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Rollouts a prompt. The paper's released code: 16."""
    needed_ratio: Share = 0.5
    """Share of a step's prompts that carry the label `needed`. Half, as in the paper: GRPO divides by a group's spread,
    so a group that loses by asking pulls as hard as one that wins by it, and with fewer of the latter the policy first
    learns never to ask."""
    learning_rate: Annotated[float, Field(gt=0, le=1e30)] = 1e-4
    """Peak learning rate of AdamW; beyond the bound a step cannot even be computed. The paper's released code: 1e-6,
    for 7 billion parameters."""
    hold_ratio: Share = 0.5
    """Share of the steps at the peak; after that the rate falls linearly to its end."""
    final_lr_ratio: Share = 0.03
    """Share of the peak that is left at the last step."""
    warmup_steps: int = Field(default=10, ge=0)
    """Steps over which the rate rises."""
    kl_weight: NonNegative = 0.15
    """Weight of the k3 divergence from the base model. The paper's released code: 0.001, for 7 billion parameters. With
    0.05 a single wording can be lost: the model learns never to ask on it before it has learned to tell it from its
    neighbours, and then meets no reason to start."""
    entropy_weight: NonNegative = 0.0
    """Weight of a bonus for the entropy of the policy. The paper's released code: 0.001. Here the divergence keeps the
    policy from deciding too soon."""
    clip_ratio: Positive = 0.2
    """Probability ratios beyond 1 +- this give no gradient."""
    clip_ratio_c: NonNegative = 0.0
    """Probability ratio beyond which a rollout that was worse than its group gives no gradient either, so that one
    token cannot tear the policy away: veRL's dual clip, 3 there. More than 1; 0 switches it off. Only with
    `num_updates` above 1 can a ratio get there."""
    loss_aggregation: Literal["token-mean", "seq-mean-token-mean"] = "token-mean"
    """What the loss is the mean of: all tokens of a step, or each rollout's tokens and then all rollouts, as in the
    paper. veRL's `loss_agg_mode`."""
    advantage: Literal["episode", "turn"] = "episode"
    """What is compared within a group: `episode`, a rollout's whole reward, for all of its tokens; or `turn`, as in
    AdaptVision's DTPO: turns that only answer are compared by accuracy and format alone, those that may ask by that
    plus `tool_advantage_weight` times the penalty, each divided by its own spread. Only with the backend `local`."""
    tool_advantage_weight: NonNegative = 0.3
    """Weight of what was asked for in the advantage of turns that may ask, where `advantage` is `turn`. AdaptVision's
    released script: 0.3. The advantages are divided by their spread, so that the size of a penalty says nothing
    beside `reward.advantage_eps`: this does."""
    num_updates: PositiveInt = 1
    """Optimizer steps per batch of rollouts, each over the whole batch; above 1 the later ones are off-policy, which is
    what the clip is for."""
    max_grad_norm: NonNegative = 1.0
    """Gradients are scaled down to this norm; 0 leaves them as they are."""
    freeze_vision: bool = True
    """Whether the vision tower stays as it is in the base model and only the language model learns. When to ask is
    decided from the question; a tower that learns along gets worse at reading."""
    temperature: Positive = 1.0
    """Of the rollouts."""
    micro_batch_size: Annotated[PositiveInt, OPERATIONAL] = 64
    """Rollouts per forward and backward pass."""
    checkpoint_every: Annotated[PositiveInt, OPERATIONAL] = 20
    """Steps between checkpoints: what a killed run repeats at most."""

    @field_validator("max_grad_norm", mode="before")
    @classmethod
    def _no_limit_is_0(cls, value: object) -> object:
        if value == math.inf:
            raise ValueError("inf cannot be kept in a run's config.json; 0 switches the scaling off")
        return value

    @model_validator(mode="after")
    def _backend_can(self) -> "TrainConfig":
        if self.backend == "verl" and self.advantage == "turn":
            raise ValueError(
                "train.advantage is turn, but train.backend is verl, which gives all tokens of a rollout one "
                "advantage; set train.advantage to episode, or train.backend to local"
            )
        return self

    @field_validator("clip_ratio_c")
    @classmethod
    def _second_clip_is_wider(cls, value: float) -> float:
        if 0 < value <= 1:
            raise ValueError("a ratio that is clipped from 1 on leaves no gradient; take more than 1 (veRL: 3), or 0")
        return value


class TrackingConfig(Section):
    """MLflow."""

    uri: Annotated[str | None, OPERATIONAL] = None
    """Tracking server; None means MLFLOW_TRACKING_URI, or a sqlite file beside the runs."""
    experiment: Annotated[str, Field(pattern=r"\S", max_length=500), OPERATIONAL] = "visionthink"
    """Experiment that the runs belong to."""
    required: Annotated[bool, OPERATIONAL] = False
    """Whether a tracker that cannot be reached stops the run. Otherwise it is reported and the numbers are kept."""
    timeout_s: Annotated[Positive, OPERATIONAL] = 10.0
    """Of one request to the server."""


class ServeConfig(Section):
    """The OpenAI-compatible endpoint."""

    model_name: Annotated[str, Field(min_length=1), OPERATIONAL] = "visionthink"
    """Name under `/v1/models`."""
    engine: Annotated[str, OPERATIONAL] = Field(default="transformers", pattern=r"^(transformers|openai:https?://.+)$")
    """Where the served model's replies come from; see `model.engine`, which names the base model's. A server must hold
    the same model; texts and sizes come from the card in the model's folder."""
    host: Annotated[str, Field(min_length=1), OPERATIONAL] = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535), OPERATIONAL] = 8000
    """Port to listen on; 0 takes a free one."""
    timeout_s: Annotated[Positive, OPERATIONAL] = 60.0
    """Of one request from the end of its upload to its answer, all turns; and of its upload before that."""
    policy: Annotated[Literal["auto", "always_low", "always_high"], OPERATIONAL] = "auto"
    """How a picture is looked at where the request does not say: `auto` lets the model decide."""
    max_turns: Annotated[PositiveInt | None, OPERATIONAL] = None
    """Turns in which the model may ask for another view, where the request does not say; None means as in training."""
    max_in_flight: Annotated[PositiveInt, OPERATIONAL] = 256
    """Requests that are decoded and answered at a time, and connections to each server of `engine`."""
    max_queued: Annotated[int, Field(ge=0), OPERATIONAL] = 256
    """Requests that may wait for one of those to end, first come, first served, keys in turn; more are refused with 429
    and told to come back, before they are read."""
    max_wait_s: Annotated[Positive, OPERATIONAL] = 10.0
    """Longest such wait; then 429."""
    max_held_bytes: Annotated[PositiveInt, OPERATIONAL] = 2 * 1024**3
    """Memory for the bodies and decoded pictures of all requests at once; what does not fit is refused with 429."""
    max_body_bytes: Annotated[PositiveInt, OPERATIONAL] = 48 * 1024**2
    """A larger request is refused."""
    max_picture_pixels: Annotated[PositiveInt, OPERATIONAL] = 16 * 1024**2
    """A larger picture is refused before a pixel is decoded. The largest view that the paper's model is shown has a
    quarter of this."""
    max_pictures: Annotated[PositiveInt, OPERATIONAL] = 4
    """Pictures of one conversation; one with more is refused. On a cluster vLLM is told of it."""
    num_decoders: Annotated[PositiveInt, OPERATIONAL] = 2
    """Pictures that are decoded at the same time."""
    image_hosts: Annotated[tuple[str, ...], OPERATIONAL] = ()
    """Hosts that pictures are fetched from (`example.org`, `*.example.org`, `*` for any public one), over https and
    from public addresses only; none, and pictures must travel in the request."""
    image_timeout_s: Annotated[Positive, OPERATIONAL] = 10.0
    """Of fetching one picture."""
    keys_file: Annotated[str | None, Place(), OPERATIONAL] = None
    """File of the API keys that are let in, as hashes, read again when it changes; None: everybody is. TOML, for each
    key `[NAME]` and below it `sha256 = ["..."]`, and where it differs `max_in_flight` and `requests_per_minute`."""
    key_max_in_flight: Annotated[PositiveInt | None, OPERATIONAL] = None
    """Requests at a time of one key, of all together where there are no keys; None: no bound."""
    key_requests_per_minute: Annotated[PositiveInt | None, OPERATIONAL] = None
    """The same for requests a minute."""
    engine_retries: Annotated[int, Field(ge=0), OPERATIONAL] = 2
    """Tries after the first that a server which fails gets, within the request's time; then 503. Clients try again
    themselves, and may be answered by another replica."""
    drain_s: Annotated[Positive, OPERATIONAL] = 30.0
    """What requests under way are given when the server is told to end."""
    log_format: Annotated[Literal["text", "json"], OPERATIONAL] = "text"
    """Lines for people, or one JSON object a line."""
    tracing: Annotated[Literal["auto", "on", "off"], OPERATIONAL] = "auto"
    """Whether OpenTelemetry's spans are sent: `auto` where OTEL_EXPORTER_OTLP_ENDPOINT names a collector. Needs the
    extra `tracing`."""

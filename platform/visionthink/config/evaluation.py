"""Settings of what is done with a trained model first: how it is judged, and what lets it into the registry."""

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from visionthink.config.contender import in_one_way
from visionthink.config.data import Positive, PositiveInt, Share
from visionthink.config.section import OPERATIONAL, Place, Section
from visionthink.core.gate import GateRule
from visionthink.core.pruning import Pruning, PruningName
from visionthink.errors import ConfigError

BenchmarkName: TypeAlias = Literal[
    "chartqa",
    "docvqa",
    "mathverse",
    "mathvista",
    "mmbench",
    "mme",
    "mmmu",
    "mmmu_pro",
    "mmmu_pro_vision",
    "mmvet",
    "ocrbench",
    "pope",
    "realworldqa",
    "vstar",
]


class EvaluateConfig(Section):
    """Greedy evaluation: the base model at either size and free to ask, the trained model, and the model in use."""

    model: Annotated[str | None, Place()] = None
    """Folder of the model to judge, which is then also registered and served; None means the one that the run
    trained."""
    engine: Annotated[str, OPERATIONAL] = Field(default="transformers", pattern=r"^(transformers|openai:https?://.+)$")
    """Where the judged model's replies come from; see `model.engine`, which names the base model's."""
    benchmark: BenchmarkName | None = None
    """Public benchmark to evaluate on, with its own words and scores; its rows lie at `data.eval_source`, in the
    columns of the published set; `visionthink benchmarks list` tells of each. None: the picture world, or rows of one's
    own that the judge grades."""
    num_samples: PositiveInt = 600
    """Held-out samples of the trained families; of a benchmark its first ones."""
    num_held_out_samples: int = Field(default=120, ge=0)
    """Samples of the held-out families, reported apart."""
    shard_size: PositiveInt = 120
    """Samples per shard: what a killed run repeats at most."""
    reply_cache: Annotated[str | None, Place(), OPERATIONAL] = None
    """Folder of replies that any evaluation may have had of the same model to the same request, and keeps there; what
    it holds is not asked again. Several evaluations may share it. Latency is always measured. None: nothing is kept
    beyond the run."""
    num_bootstraps: PositiveInt = 1000
    """Resamplings for the 95 % intervals."""
    num_latency_samples: PositiveInt = 24
    """Samples asked one request at a time to measure latency, in all; spread over the families as the samples are, and
    at most a quarter of them over the held-out families."""
    num_examples: int = Field(default=6, ge=0)
    """Conversations shown in the report."""
    contenders: tuple[str, ...] = ()
    """More contenders: one of `always_low`, `always_high`, `base` and `trained` with visual tokens dropped by a
    published method, at any share that stays, such as `always_high+fastv@0.5`; the methods are `fastv`, `sparsevlm` and
    `visionzip` (docs/baselines.md). Where the model chooses its views, the first one keeps all tokens. Only the engine
    `transformers` can do so."""
    fastv_layer: PositiveInt = 1
    """Layers of the language model that FastV lets compute every token: its K. For Qwen2.5-VL: 2, the paper's."""
    sparsevlm_layers: tuple[PositiveInt, ...] = (1, 2)
    """After how many layers SparseVLM drops tokens, each time. For Qwen2.5-VL: 2, 6, 15, the released code's."""

    @field_validator("contenders")
    @classmethod
    def _written_in_one_way(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return in_one_way(value)

    @model_validator(mode="after")
    def _layers_fit(self) -> "EvaluateConfig":
        try:
            for method in ("fastv", "sparsevlm"):
                self.pruning(PruningName(method, 1.0), spares_first=False)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def pruning(self, name: PruningName, *, spares_first: bool) -> Pruning:
        """The core's own record."""
        layers = {"fastv": (self.fastv_layer,), "sparsevlm": self.sparsevlm_layers, "visionzip": (0,)}
        return Pruning(
            method=name.method,
            retained_ratio=name.retained_ratio,
            layers=layers[name.method],
            spares_first=spares_first,
        )

    @field_validator("reply_cache")
    @classmethod
    def _cache_is_a_folder(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError("replies are kept in a folder that all who share it can mount; name its path")
        return value


class RegisterConfig(Section):
    """The model registry. The demands have the names of `core.gate.GateRule`."""

    name: str = Field(default="visionthink", pattern=r"^\w[\w .-]*$", max_length=200)
    """Name of the registered model: letters, digits, blanks and . _ -, as MLflow and a store's folder take it."""
    alias: str = Field(default="champion", pattern=r"^[\w-]+$", max_length=255)
    """Alias that moves to a version that passed the gate. `latest` and `v1`, `v2`, ... are MLflow's own."""
    alias_moves_at: Annotated[Literal["register", "rollout"], OPERATIONAL] = "register"
    """When it moves: as soon as the gate lets a version pass, or once a rollout has brought it into use on a
    cluster."""
    min_accuracy_ratio: Share = 0.97
    """Promote only at this share of always_high's accuracy, or better."""
    min_incumbent_gain: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Promote only if its accuracy exceeds that of the model in use (the alias) by this, or more; a negative value
    tolerates a loss."""
    max_visual_token_ratio: Positive = 0.62
    """Promote only at this share of always_high's visual tokens, or less."""
    check_resize_ratios: bool = True
    """Whether the next two demands are made; an evaluation without ground truth can never meet them."""
    min_resize_ratio_needed: Share = 0.95
    """Promote only if it asks on this share of the samples that need the full view, or more."""
    max_resize_ratio_not_needed: Share = 0.05
    """Promote only if it asks on this share of the other samples, or less."""
    min_samples: PositiveInt = 100
    """Promote only after an evaluation on this many samples, or more."""
    store: Annotated[str | None, Place()] = None
    """Folder or s3:// address that the model is also published to, under `<name>/<run id>`; None: the run's folder
    and the registry only."""

    def rule(self) -> GateRule:
        """The core's own record."""
        return GateRule(
            min_samples=self.min_samples,
            min_accuracy_ratio=self.min_accuracy_ratio,
            min_incumbent_gain=self.min_incumbent_gain,
            max_visual_token_ratio=self.max_visual_token_ratio,
            min_resize_ratio_needed=self.min_resize_ratio_needed if self.check_resize_ratios else None,
            max_resize_ratio_not_needed=self.max_resize_ratio_not_needed if self.check_resize_ratios else None,
        )

    @field_validator("alias")
    @classmethod
    def _alias_is_free(cls, value: str) -> str:
        if value.lower() == "latest" or re.fullmatch(r"[vV]\d+", value):
            raise ValueError("MLflow keeps this alias for itself; take another word")
        return value

    @model_validator(mode="after")
    def _demands_fit(self) -> "RegisterConfig":
        self.rule()
        return self

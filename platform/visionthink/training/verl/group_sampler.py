"""The group hook: what veRL takes a step's rollouts from.

Extension point: `trainer.v1.sampler.custom_sampler`. Rule: glue. It hands complete groups to `groups.rewarded` and
writes back what comes of it: rewards with the penalty, whole groups in order, numbers for the step.

With `algorithm.filter_groups.enable`, groups that teach nothing are replaced by new prompts (DAPO's dynamic sampling).
veRL's own filter cannot see the penalty, so which groups those are is decided here; dispatch and refill are veRL's.
"""

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

import torch
import transfer_queue as tq
from verl.trainer.ppo.v1.replay_buffer import FILTER_GROUPS_REWARD_METRIC, ReplayBuffer
from verl.utils import tensordict_utils as tu

from visionthink import metrics as m
from visionthink.config import parse_config
from visionthink.training.verl.groups import Row, rewarded

_POLL_S: Final = 0.1
"""Between two looks for complete groups; veRL's own is 2 s, a tenth of a step of a small model."""


_last: dict[int, dict[str, float]] = {}
"""The latest step that was sampled in this process, in numbers."""


def metrics_of(step: int) -> dict[str, float]:
    """The numbers of `step`, where it is the latest; nothing else knows them until veRL tells the step."""
    return _last.get(step, {})


class _Group(Enum):
    """What a complete group is good for."""

    KEPT = "kept"
    FLAT = "flat"
    FAILED = "failed"


class GroupSampler(ReplayBuffer):  # type: ignore[misc]
    """Samples whole groups, rewarded."""

    def __init__(self, *, sampler_kwargs: Any, **kwargs: Any) -> None:
        """`sampler_kwargs` holds the run's settings, the sizes of group and batch, and whether to filter."""
        filters = bool(sampler_kwargs["filter_groups"])
        if filters:
            kwargs |= {
                "filter_groups_metric": FILTER_GROUPS_REWARD_METRIC,
                "train_batch_size": int(sampler_kwargs["batch_size"]),
                "gen_batch_size": 1,
                "max_inflight_gen_batches": 1,
            }
        super().__init__(sampler_kwargs=sampler_kwargs, **{**kwargs, "poll_interval": _POLL_S})
        config = parse_config(sampler_kwargs["config"])
        self._rule = config.reward.rule()
        self._group_size = int(sampler_kwargs["group_size"])
        self._max_replaced = config.verl.max_refills * int(sampler_kwargs["batch_size"])
        self._found: dict[str, _Group] = {}
        self._num_replaced: Counter[_Group] = Counter()

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, float]]:
        """A batch of complete groups and the step in numbers."""
        self._found.clear()
        self._num_replaced.clear()
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        if partition_id != "train":
            return batch, metrics
        rows, scores = self._read(batch.keys, partition_id)
        step = rewarded(rows, self._rule, group_size=self._group_size)
        for score, reward in zip(scores, step.rewards, strict=True):
            score.zero_()
            score[-1] = reward
        tq.kv_batch_put(
            keys=batch.keys,
            partition_id=partition_id,
            fields=tu.get_tensordict({"rm_scores": torch.nested.as_nested_tensor(scores, layout=torch.jagged)}),
        )
        batch.reorder(list(step.order))
        told = {**metrics, **step.metrics, **self._filtered_metrics(step.metrics)}
        _last.clear()
        _last[global_steps] = told
        return batch, told

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter[float]]:
        """Finished groups that teach nothing, as long as new ones may be drawn for the step."""
        if partition_id == "val" or self.filter_groups_metric is None:
            return set(), Counter()
        fresh = self.finished_keys[partition_id] - self._found.keys()
        if fresh:
            self._judge(fresh, partition_id)
        if self._num_replaced.total() >= self._max_replaced:
            return set(), Counter()
        dropped = {uid for uid in self.finished_keys[partition_id] if self._found[uid] is not _Group.KEPT}
        self._num_replaced.update(self._found[uid] for uid in dropped)
        return dropped, Counter()

    def _select_prompt_uids(
        self, partition_id: str, sampleable_keys: set[str], batch_size: int
    ) -> tuple[list[str], dict[str, Any], dict[str, int]]:
        """Those that teach before those that do not, where more are there than a step takes."""
        uids, rows, steps = super()._select_prompt_uids(partition_id, sampleable_keys, len(sampleable_keys))
        uids.sort(key=lambda uid: (steps.get(uid, 0), self._found.get(uid, _Group.KEPT) is not _Group.KEPT))
        return uids[:batch_size], rows, steps

    def _judge(self, uids: Iterable[str], partition_id: str) -> None:
        """Find out of each new group whether it gives a gradient."""
        wanted = set(uids)
        keys = [key for key in self.partitions[partition_id] if _group(key) in wanted]
        rows = self._read(keys, partition_id)[0] if keys else []
        for uid in wanted:
            self._found[uid] = self._kind([row for row in rows if row.group == uid])

    def _kind(self, group: list[Row]) -> "_Group":
        if len(group) < self._group_size or any(row.facts["failed"] for row in group):
            return _Group.FAILED
        is_kept = all(rewarded(group, self._rule, group_size=self._group_size).kept)
        return _Group.KEPT if is_kept else _Group.FLAT

    def _read(self, keys: list[str], partition_id: str) -> tuple[list[Row], list[torch.Tensor]]:
        data = tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=["rm_scores", "extra_fields"])
        told = [getattr(fields, "data", fields) for fields in data["extra_fields"]]
        rows = [
            Row(group=_group(key), facts=fields["reward_extra_info"], error=fields["error"])
            for key, fields in zip(keys, told, strict=True)
        ]
        return rows, [score.clone() for score in data["rm_scores"].unbind()]

    def _filtered_metrics(self, metrics: Any) -> dict[str, float]:
        """How many groups were replaced, and the counts of dropped ones with them."""
        flat, failed = m.GROUP_NUM_ZERO_VARIANCE.key(), m.GROUP_NUM_JUDGE_FAILED.key()
        return {
            flat: metrics[flat] + self._num_replaced[_Group.FLAT],
            failed: metrics[failed] + self._num_replaced[_Group.FAILED],
            m.GROUP_NUM_REPLACED.key(): float(self._num_replaced.total()),
        }


def _group(key: str) -> str:
    """The prompt of a row's key, `prompt_session_index`."""
    return key.rsplit("_", 2)[0]

"""Run in veRL's environment: our sampler in veRL's own loop over a real TransferQueue. Answers in JSON.

Prompts come from a list of kinds in the place of a dataset; each is answered at once, by rollouts of its kind.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

with contextlib.redirect_stdout(sys.stderr):
    import ray
    import torch
    import transfer_queue as tq  # type: ignore[import-not-found, unused-ignore]
    from omegaconf import OmegaConf  # type: ignore[import-not-found, unused-ignore]
    from verl.utils.tensordict_utils import (  # type: ignore[import-not-found, unused-ignore]
        list_of_dict_to_tensordict,
    )

    from visionthink.config import RunConfig, override_config
    from visionthink.core.reward import Graded
    from visionthink.training.verl.group_sampler import GroupSampler
    from visionthink.training.verl.rollout import facts_of

GROUP, BATCH, MAX_REFILLS = 2, 3, 2
RIGHT = {"kept": (1.0, 0.0), "flat": (1.0, 1.0), "failed": (1.0, 0.0)}


def main() -> None:
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "TRANSFER_QUEUE_ENABLE": "1"}
    with tempfile.TemporaryDirectory(prefix="vt-", dir="/tmp") as home, contextlib.redirect_stdout(sys.stderr):
        start_ray(home)
        tq.init(OmegaConf.create({"enable": True, "backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
        answers = {
            "off": taken(False, ["flat", "kept", "failed"]),
            "on": taken(True, ["flat", "kept", "failed", "kept", "flat", "kept"]),
            "hopeless": taken(True, chain(["kept"], repeat("flat"))),
        }
        ray.shutdown()
    print(json.dumps(answers))


def start_ray(home: str) -> None:
    """On a busy machine Ray's parts may take longer than it waits for them; another try finds their files in memory."""
    for left in reversed(range(4)):
        try:
            ray.init(num_cpus=4, include_dashboard=False, object_store_memory=100 * 2**20, _temp_dir=home)
            return
        except Exception:
            if not left:
                raise
            ray.shutdown()


def taken(filters: bool, kinds: Any) -> dict[str, Any]:
    """The kinds of the groups in a step's batch, and what was counted."""
    prompts = iter(chain(kinds, repeat("kept")))
    given: dict[str, str] = {}
    config = override_config(RunConfig(), {"verl.max_refills": MAX_REFILLS})
    settings = {"group_size": GROUP, "batch_size": BATCH, "filter_groups": filters, "config": config.model_dump_json()}
    sampler = GroupSampler(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=None,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create(settings),
        refill_fn=lambda count: ask(prompts, count, given),
    )
    ask(prompts, BATCH, given)
    batch, metrics = sampler.sample(1, "train", BATCH)
    uids = list(dict.fromkeys(key.split("_")[0] for key in batch.keys))
    tq.kv_clear(partition_id="train", keys=list(batch.keys))
    names = ("num_kept", "num_zero_variance", "num_judge_failed", "num_replaced")
    return {"kinds": sorted(given[uid] for uid in uids), **{name: metrics[f"group/{name}"] for name in names}}


def ask(prompts: Iterator[str], count: int, given: dict[str, str]) -> int:
    for _ in range(count):
        uid, kind = f"prompt{len(given)}", next(prompts)
        given[uid] = kind
        rows = [row(kind, number) for number in range(GROUP)]
        tq.kv_batch_put(
            keys=[f"{uid}_{number}_0" for number in range(GROUP)],
            partition_id="train",
            fields=list_of_dict_to_tensordict(rows),
            tags=[{"status": "success", "global_steps": 1} for _ in rows],
        )
        tag = {"is_prompt": True, "status": "finished", "global_steps": 1}
        tq.kv_batch_put(keys=[uid], partition_id="train", tags=[tag])
    return count


def row(kind: str, number: int) -> dict[str, Any]:
    graded = Graded(
        correct=RIGHT[kind][number], format_ok=True, num_tool_calls=0, judge_failed=kind == "failed" and number == 1
    )
    more = {"asked": 0.0, "turns": 1.0, "reply_tokens": 3.0, "visual_tokens": 4.0, "truncated": 0.0}
    told = {"reward_extra_info": facts_of(graded, True) | more, "error": "the judge is away"}
    return {"rm_scores": torch.zeros(3 + number), "extra_fields": told}


if __name__ == "__main__":
    main()

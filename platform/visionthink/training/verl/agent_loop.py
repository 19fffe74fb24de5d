"""The agent loop that veRL runs in its agent workers: one of our rollouts a call.

Extension points: `rollout.agent.agent_loop_config_path` (agent_loop.yaml beside this file) names the class,
`rollout.agent.default_agent_loop` chooses it. Rule: glue. It is imported by agent workers alone.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from transformers import BatchFeature
from verl.experimental.agent_loop import agent_loop
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from visionthink.config import parse_config
from visionthink.engines.encoding import Encoder, Pixels
from visionthink.judges.settings import judge_of_settings
from visionthink.samples import decoded
from visionthink.training.verl.picture_cache import Originals, PictureFiles
from visionthink.training.verl.rollout import HeldRollout, RolloutHolder
from visionthink.training.verl.server_engine import Room

CACHE_VARIABLE: Final = "VISIONTHINK_PICTURE_CACHE"
"""Names the folder of a node's copies of pictures."""

_HOLDERS: dict[int, RolloutHolder] = {}
"""By processor; a process has one."""

# A worker holds hundreds of episodes of small tensors: threads of torch would only wait for each other.
torch.set_num_threads(1)


class MadeViews:
    """Views whose pixels our encoder has made already, where veRL expects pictures."""

    def __init__(self, views: Sequence[Pixels]) -> None:
        """Keep them for `inputs`."""
        self._views = tuple(views)

    def inputs(self) -> BatchFeature:
        """What the processor would make of the views again."""
        # That there is one makes veRL compute positions by the kinds of tokens; it makes the kinds itself.
        made = {"mm_token_type_ids": torch.zeros(1, 1, dtype=torch.int64)}
        if self._views:
            made["pixel_values"] = torch.cat([view.patches for view in self._views])
            made["image_grid_thw"] = torch.cat([view.grid_thw for view in self._views])
        return BatchFeature(made)


class VisionThinkLoop(AgentLoopBase):  # type: ignore[misc]
    """Made anew for each rollout; what is worth keeping is kept by the process."""

    def __init__(self, trainer_config: Any, server_manager: Any, processor: Any, **_: Any) -> None:
        """Leave out veRL's own constructor, which builds a tokeniser of turns, which nothing here needs."""
        self._server = server_manager
        self._holder = _holder(trainer_config.config, processor)

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """One rollout of the row's prompt."""
        held = await self._holder.hold(
            self._server,
            row["extra_info"],
            temperature=float(sampling_params["temperature"]),
            top_p=float(sampling_params["top_p"]),
        )
        # veRL wants a version of the weights in every row; a step's rollouts come from those of the step before.
        return _trained_row(held, versions=held.versions or (max(int(row["global_steps"]) - 1, 0),))


def _holder(config: Any, processor: Any) -> RolloutHolder:
    """The holder of this process, whose caches all rollouts share."""
    if id(processor) not in _HOLDERS:
        _HOLDERS[id(processor)] = _new_holder(config, processor)
    return _HOLDERS[id(processor)]


def _new_holder(trainer_config: Any, processor: Any) -> RolloutHolder:
    config = parse_config(trainer_config.visionthink.config)
    rollout = trainer_config.actor_rollout_ref.rollout
    total = int(rollout.prompt_length) + int(rollout.response_length)
    files = PictureFiles(Path(os.environ.get(CACHE_VARIABLE) or Path(tempfile.gettempdir()) / "visionthink-pictures"))
    return RolloutHolder(
        config,
        Encoder(processor),
        judge_of_settings(
            config.judge,
            api_key=os.environ.get("OPENAI_API_KEY"),
            calls_path=None,  # the run's folder may be out of a node's reach
            run_id=str(trainer_config.trainer.experiment_name),
        ),
        Originals(files, lambda sample: decoded(sample, config.data)),
        room=Room(prompt=int(rollout.prompt_length), total=min(total, int(rollout.max_model_len or total))),
    )


def _trained_row(held: HeldRollout, *, versions: tuple[int, ...]) -> AgentLoopOutput:
    trajectory = held.trajectory
    return AgentLoopOutput(
        prompt_ids=list(trajectory.prompt_ids),
        response_ids=list(trajectory.response_ids),
        response_mask=[int(own) for own in trajectory.mask],
        response_logprobs=list(trajectory.log_probs),
        multi_modal_data={"images": MadeViews(held.views)},
        # Given here, no reward worker is asked, and nothing is computed for one.
        reward_score=held.score,
        num_turns=2 * held.num_turns,
        metrics=AgentLoopMetrics(generate_sequences=held.generate_s),
        extra_fields={
            "reward_extra_info": dict(held.facts),
            "error": held.error,
            "min_global_steps": min(versions),
            "max_global_steps": max(versions),
        },
    )


_build_inputs = agent_loop.build_multimodal_processor_inputs


def _inputs_made_once(processor: Any, *, images: Any = None, **rest: Any) -> Any:
    """Spare veRL its own call of the image processor for each rollout: most of a step's wait (docs/verl.md).

    Ray wraps the methods of its actors when they are defined, so it is the function that they call that is replaced.
    """
    return images.inputs() if isinstance(images, MadeViews) else _build_inputs(processor, images=images, **rest)


agent_loop.build_multimodal_processor_inputs = _inputs_made_once

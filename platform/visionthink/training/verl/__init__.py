"""Multi-turn GRPO by veRL: the same episodes, rewards and metric names as the local trainer, on any number of GPUs.

Rule: nothing is decided here. Episodes are those of `visionthink.episodes`, rewards and dropped groups those of `core`;
these modules carry values between them and veRL's extension points (docs/verl.md lists each of them). Only the modules
that veRL itself loads import it: `agent_loop`, `group_sampler`, `frozen_tower`, `patches`, `checkpoint_upload`,
`driver` and the two of the CPU platform.
"""

"""Dropping visual tokens within a model: FastV, SparseVLM and VisionZip, as baselines.

Rule: what is kept and what is merged is computed by pure functions, a module a method: tensors in, tensors out. Only
`tower` and `run` touch a model. Nothing here was copied from the methods' repositories; docs/baselines.md says by
section what follows the papers and what differs for Qwen2.5-VL.
"""

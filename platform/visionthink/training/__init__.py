"""Reinforcement learning: `local` on one machine; other back ends stand beside it."""

"""Multi-turn GRPO in torch on one machine, over the engine and the episode that every other stage uses."""

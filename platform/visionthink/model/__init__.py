"""The embedded model: a tiny Qwen2.5-VL that plays the 7-billion one, and the recipe that makes it."""

"""Speed and memory of training steps and of evaluation, for ``scripts/bench.py``."""

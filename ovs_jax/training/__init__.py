"""Objectives, the step, checkpoints and the one loop."""

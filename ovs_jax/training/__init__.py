"""Training: state, schedule, optimizer, objectives, step, checkpoints, log and the one loop."""

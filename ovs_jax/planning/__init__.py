"""What a training step needs of a machine that is not there: memory, time, communication."""

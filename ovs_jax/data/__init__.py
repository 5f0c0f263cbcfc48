"""Records in, batches out; NumPy only."""

"""Vision transformers without grouping: those that others are started from, and CLIP's."""

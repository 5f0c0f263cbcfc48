"""Words: tokenizers, prompts and entities; NumPy only."""

"""Random weights of published kinds, and an independent way to segment with them."""

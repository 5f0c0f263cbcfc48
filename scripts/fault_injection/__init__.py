"""Runs that are disturbed on purpose, and what came of them."""

"""Comparison with the reference numbers, shared by the verification script and the tests."""

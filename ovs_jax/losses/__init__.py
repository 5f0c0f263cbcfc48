"""Losses as pure functions of arrays, in float32."""

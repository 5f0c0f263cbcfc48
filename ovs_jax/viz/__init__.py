"""Pictures: palettes, overlays and curves; NumPy only."""

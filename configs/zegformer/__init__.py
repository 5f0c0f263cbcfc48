"""ZegFormer (CVPR 2022)."""

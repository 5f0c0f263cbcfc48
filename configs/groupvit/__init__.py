"""GroupViT (CVPR 2022)."""

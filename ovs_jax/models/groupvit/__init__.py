"""GroupViT."""

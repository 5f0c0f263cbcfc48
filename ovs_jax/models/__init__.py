"""GroupViT and OVSegmentor as Flax NNX modules."""

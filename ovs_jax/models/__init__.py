"""GroupViT, OVSegmentor and ZegFormer as Flax NNX modules."""

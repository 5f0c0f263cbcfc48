"""OVSegmentor in two stages on the synthetic world, in minutes on a CPU."""

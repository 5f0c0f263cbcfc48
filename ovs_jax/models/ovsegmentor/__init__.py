"""OVSegmentor."""

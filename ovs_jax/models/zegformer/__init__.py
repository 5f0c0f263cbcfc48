"""ZegFormer: masks that know no class, and segments that are classified by texts."""

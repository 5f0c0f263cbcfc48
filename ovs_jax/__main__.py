"""``python -m ovs_jax`` is the command ``ovs-jax``."""

import sys

from ovs_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

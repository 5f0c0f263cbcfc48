"""The command ``ovs-jax``: one file a subcommand."""

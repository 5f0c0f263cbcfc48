"""Experiments: one file each, ``get_config(variant)`` gives a locked ConfigDict.

``ovs-jax train --config=ovsegmentor/stage1:smoke`` names a file and a variant; ``:smoke`` of every
experiment runs in seconds on a CPU, on the synthetic world.
"""

"""The names of pools: a leaf, for what runs on hosts and has no use for the whole model."""

from __future__ import annotations

# Two sets of replicas of every service: one is live, the other free, or a release on its way in or out.
POOLS = ("blue", "green")

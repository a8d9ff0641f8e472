"""From what was read of a live fleet to an inventory that asks for exactly that: names, groups, nothing else."""

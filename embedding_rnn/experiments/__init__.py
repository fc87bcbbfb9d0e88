"""Named experiments, their jobs on a cluster, and their report."""

"""Questions to the cluster: what its topics hold, and what it took of a producer."""

"""From what is asked for to a graph of artifacts: what there is to make, what it costs, what it needs."""

"""Planning: turns an experiment into a graph of artifacts, and estimates its cost and requirements."""

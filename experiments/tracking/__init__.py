"""What MLflow is told of a run, and how it gets there: `delivery.sync`."""

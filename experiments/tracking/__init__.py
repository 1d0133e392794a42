"""Sends the results of a run to MLflow: `delivery.sync`."""

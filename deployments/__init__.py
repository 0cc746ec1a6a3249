"""What `make deploy` puts on a Prefect server besides prefect.yaml: pools, blocks, limits and alerts."""

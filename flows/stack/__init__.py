"""Everything on one machine: Prefect's server, a worker a pool, deployments and the Bento, kept up by supervisor."""

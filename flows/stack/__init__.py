"""All services on one machine, supervised: Prefect's server, one worker per pool, deployments and the Bento."""

"""The service under load: throughput, latency, swaps, durability and memory; see __main__."""

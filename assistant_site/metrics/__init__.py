"""What each process counts for Prometheus, and how all of it comes together at `/metrics` (docs/metrics.md, ADR 17)."""

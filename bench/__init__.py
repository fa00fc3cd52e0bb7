"""Measurements: what a claim in docs/benchmarks.md was measured with."""

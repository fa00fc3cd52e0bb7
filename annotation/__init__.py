"""The domain: what a ranking is and when it counts."""

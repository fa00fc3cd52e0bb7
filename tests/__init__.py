"""Tests: one file an action or a rule; what only one folder needs lies there."""

"""The hinge between database and training."""

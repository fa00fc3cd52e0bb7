"""The hinge: the only place where database and training meet."""

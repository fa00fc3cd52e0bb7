"""A frozen snapshot as the files that other programs read: made from its folder alone."""

"""The sample campaign and the path through it that ``make demo`` walks."""

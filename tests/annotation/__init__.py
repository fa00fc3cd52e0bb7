"""The rules of ranking."""

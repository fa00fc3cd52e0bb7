"""The JSON API: what the web does for people, for their programs; the same rules, the same store."""

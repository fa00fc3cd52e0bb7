"""The training: files in, files out; knows no database and no web."""

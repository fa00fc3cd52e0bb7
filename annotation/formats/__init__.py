"""Reading and writing public formats."""

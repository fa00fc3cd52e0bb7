"""What carries the processes of a run: this machine, several hosts, or an engine that has machines of its own."""

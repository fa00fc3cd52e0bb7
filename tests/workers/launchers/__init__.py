"""What carries runs: by stand-ins of the engines, and for real where this machine can."""

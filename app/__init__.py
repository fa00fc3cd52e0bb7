"""The web and the command line: HTTP in, HTML out; decides nothing."""

"""The command line: one file a command; parse, plan, run, write, exit code."""

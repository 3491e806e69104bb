"""The command line: a module for each command, by its name, and what several of them share."""

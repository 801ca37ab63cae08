"""One module per command: opens the run and calls the rooms in order."""

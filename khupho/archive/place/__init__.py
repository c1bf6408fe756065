"""Where an archive lies: its directory and identity, its files' names, what its disk does."""

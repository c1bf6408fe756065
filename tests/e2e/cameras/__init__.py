"""Cameras that nobody here wrote, each a child process at a free port with a known film."""

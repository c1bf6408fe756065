"""The segments' format, written and read."""

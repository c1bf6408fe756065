"""Clips for people outside: cut, written, and proven."""

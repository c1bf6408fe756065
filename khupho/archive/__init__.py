"""Footage on disk. This room owns its formats; see `docs/design/archive.md`."""

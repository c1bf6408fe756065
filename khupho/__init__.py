"""Khu Phố: community-owned cameras and the programme they belong to."""

__version__ = "0.1.0"

"""What cannot be read from segments: lines that are never changed."""

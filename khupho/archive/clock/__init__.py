"""What footage is dated with."""

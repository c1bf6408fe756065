"""What footage is kept, and for how long: pure decisions."""

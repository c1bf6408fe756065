"""The Merkle log over fragments and journal, and its signed checkpoints."""

"""The cache that questions are asked of."""

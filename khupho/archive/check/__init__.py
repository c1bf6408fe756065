"""A whole archive, held against its invariants, and its catalog made anew."""

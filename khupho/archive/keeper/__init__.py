"""The thread that makes what is appended durable, known, proven, and in time deleted."""

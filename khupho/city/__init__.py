"""The simulated city: cameras and their faults, for demos, scale tests and planning."""

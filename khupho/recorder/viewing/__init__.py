"""Footage as viewers take it: live, playback, stills, clips. No HTTP in it."""

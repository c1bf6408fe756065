"""RTSP 1.0 as a client, sans-IO: messages, SDP, authentication, and the session's state."""

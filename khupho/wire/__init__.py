"""What cameras speak: RTSP, SDP, RTP and RTCP. Sans-IO: bytes and `now` in, events and bytes out."""

"""RTP and RTCP from cameras: packets in, samples out. Sans-IO."""

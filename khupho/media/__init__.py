"""What video and audio are: formats, samples, fragmented MP4. Pure: no socket, clock or loop."""

"""The edge program: drives cameras' protocols on sockets and feeds the archive."""

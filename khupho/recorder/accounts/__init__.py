"""People of this recorder: accounts, roles, passwords, passkeys, sessions and the access log."""

"""The recorder's page and its API, served on the recording's own loop without ever holding it."""

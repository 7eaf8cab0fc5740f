"""Check a team's tracking server for common mistakes, and move a local store to it."""

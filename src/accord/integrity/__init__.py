"""Find and repair damage in DVC's files, cache, remotes and outputs."""

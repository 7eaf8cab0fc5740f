"""Where the images come from, how their files are read, how they are split."""

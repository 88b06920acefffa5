"""What `rd360 bench` runs: measurements on the running stack, each on topics and online rows of its own."""

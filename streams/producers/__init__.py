"""What sends events: a simulated retailer, a data set replayed, a file."""

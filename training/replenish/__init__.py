"""From forecast quantiles to orders: terms and policies. Pure; loads no training library."""

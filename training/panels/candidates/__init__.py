"""The candidates of the panel engine: each turns what is known at an origin into a mean per series and period."""

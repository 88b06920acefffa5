"""The feature store: Feast's objects generated from the catalogue, and the online and offline ports with Feast behind them."""

"""The demo shop: a deterministic catalogue, its feeds and users, and the truth behind them."""

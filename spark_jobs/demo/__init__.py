"""The demo: a deterministic shop, its three nights, and its ground truth."""

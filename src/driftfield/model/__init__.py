"""Model: what a user holds."""

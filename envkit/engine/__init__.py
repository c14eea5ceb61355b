"""The container engine: where it is, what it has, and its errors in our words."""

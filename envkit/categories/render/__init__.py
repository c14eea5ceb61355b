"""Results for people and for programs, one renderer a file."""

"""Fuzzers: whatever a file, a reply or a condition holds, the reader of it answers or refuses."""

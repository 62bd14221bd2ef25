"""A sandbox for tests of the engine: what its code does is written in a folder, and goes on while workers die."""

"""Everything that is read from outside, and nothing that acts."""

"""The proof: everything is broken on purpose, and one table tells what came of it."""

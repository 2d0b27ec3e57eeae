"""A model of the states and the fence, explored to its end and replayed on the real scripts."""

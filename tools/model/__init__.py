"""Model of the states and the fence, explored in full and replayed on the real scripts."""

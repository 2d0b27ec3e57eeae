"""The relay as a whole: real processes, by the commands of the Procfile, over a real Redis."""

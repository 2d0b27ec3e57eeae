"""All that knows Redis: keys, scripts, and the two views of them, intake's and the worker's."""

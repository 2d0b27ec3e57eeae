"""Redis: keys, scripts, and the stores of intake, worker and operator."""

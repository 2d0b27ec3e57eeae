"""HTTP server: routes, callers, bodies, problems."""

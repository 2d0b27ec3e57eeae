"""All that knows HTTP as a server: routes, callers, bodies, problems."""

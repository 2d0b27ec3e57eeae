"""Development tools: local stack, fault proofs, specification, benchmarks, checks."""

"""A compiled program as its user holds it: calls, states, sessions, methods, weights, adapters, profiles."""

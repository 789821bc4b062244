"""One HTTP client for all upstream services: retries, circuit breaker, deadlines and caches."""

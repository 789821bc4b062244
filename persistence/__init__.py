"""What the service keeps, in MongoDB: models, their audit trail, rebalances and idempotency keys."""

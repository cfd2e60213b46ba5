"""The event engine: many tenants on one NPU, row by row, under a policy."""

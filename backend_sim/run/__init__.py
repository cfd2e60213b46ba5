"""From a scenario to a run: NPUs, tenants' models, router, and one run of the engine per NPU."""

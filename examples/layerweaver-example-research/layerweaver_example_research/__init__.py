"""An example of a package that adds a kind of arrivals and two metrics to layerweaver."""

"""An NPU built around outer products, as an example of a layerweaver plug-in."""

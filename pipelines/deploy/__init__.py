"""A federation between hospitals: the kernel of `pipelines.federated` over a network."""

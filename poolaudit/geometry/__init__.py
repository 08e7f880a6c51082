"""What a model can see of its input, measured on its graph, by perturbation and by shifting real items."""

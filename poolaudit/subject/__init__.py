"""The subject of an audit: the model, its pooling sites and the data splits it is judged on."""

"""How fast pooling layers are at the shapes they have, against the memory bandwidth of the machine."""

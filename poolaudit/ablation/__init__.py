"""Does this pooling cost recall? Variants of the model, trials of each, effects and decisions."""

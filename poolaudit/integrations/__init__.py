"""Results where other tools look: at the end of a training, in TensorBoard, in MLflow."""

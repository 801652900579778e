"""ONNX Runtime's library, and the devices that it runs on."""

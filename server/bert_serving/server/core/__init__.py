"""The decisions of the service as plain objects: no socket, thread, clock or TensorFlow. Time is passed in."""

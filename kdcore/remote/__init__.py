"""A teacher behind HTTP: the client and the server of the Open Inference Protocol."""

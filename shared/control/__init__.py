"""The control plane's messages: control.proto and the code that `make protos` generates from it."""

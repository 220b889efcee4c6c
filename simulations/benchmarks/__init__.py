"""How fast Wardround is beside what it is built on, measured in one interleaved run (`make bench`)."""

"""The coordinator's pages: `wardround coordinator serve`."""

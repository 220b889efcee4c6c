"""The hospital's pages: `wardround site serve`."""

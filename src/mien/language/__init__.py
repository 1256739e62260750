"""Language models, asked over a network or on this machine; they know no data and no task."""

"""Building blocks that know no paper, no data and no task."""

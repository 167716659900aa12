"""Who trains: run folders, the process of a training run, its progress and its report."""

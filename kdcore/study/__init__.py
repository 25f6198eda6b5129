"""Every method on several tasks with several seeds: the plan, and the process that runs the trials."""

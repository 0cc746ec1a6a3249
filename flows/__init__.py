"""One file per job, the runbook: parameters, plan, guard, apply, report."""

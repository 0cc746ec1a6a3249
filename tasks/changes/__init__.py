"""The one shape of every change: plan, guard, apply, undo, report. Knows no store and no judge."""

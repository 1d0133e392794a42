"""The harness: a declarative registry of experiments, a planner, a runner, a store, tracking and commands."""

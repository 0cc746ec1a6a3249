"""Stores and schemas that real DataJoint filled, of both generations, with orphans of every kind."""

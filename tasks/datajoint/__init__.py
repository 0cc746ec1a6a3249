"""What is known about DataJoint's external stores: names of objects, where references live, what may go."""

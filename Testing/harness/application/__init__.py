"""The parts of the Slicer application that a scripted module talks to."""

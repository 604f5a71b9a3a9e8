"""How a test script ends Slicer."""

import sys


def exitSuccess():
    sys.exit(0)


def exitFailure(message=""):
    if message:
        print(message)
    sys.exit(1)


def runUnitTest(path, testname):
    raise NotImplementedError("run the module's test with Harness.run_module_test")

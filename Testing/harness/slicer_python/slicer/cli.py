"""There are no CLI modules."""


def createNode(cliModule, parameters=None):
    raise RuntimeError("CLI modules are not available")


def setNodeParameters(node, parameters):
    raise RuntimeError("CLI modules are not available")


def runSync(
    module, node=None, parameters=None, delete_temporary_files=True, update_display=True,
    hide_window=True,
):  # fmt: skip
    raise RuntimeError("CLI modules are not available")


def run(
    module, node=None, parameters=None, wait_for_completion=False, delete_temporary_files=True,
    update_display=True, hide_window=True,
):  # fmt: skip
    raise RuntimeError("CLI modules are not available")


def cancel(node):
    """Does nothing, in Slicer too."""

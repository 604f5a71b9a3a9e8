"""A module with nothing in it, to leave the toy module for."""

from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget


class OtherToyModule(ScriptedLoadableModule):
    pass


class OtherToyModuleWidget(ScriptedLoadableModuleWidget):
    pass

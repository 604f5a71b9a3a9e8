"""Translation without translations."""


def translate(context, text):
    """The text in the user's language; here the text."""
    return text


def getContext(sourceFile):
    """The translation context of a source file: its name."""
    from pathlib import Path

    return Path(sourceFile).stem


def tr(text):
    """The text in the user's language; here the text. Takes a constant only, as lupdate does."""
    if not isinstance(text, str):
        raise TypeError(f"tr() takes a string, not {type(text).__name__}")
    return text

"""The exception that the rules of a model raise."""


class ModelRefusal(Exception):
    """The model's own wording, without the prefix of Converse."""

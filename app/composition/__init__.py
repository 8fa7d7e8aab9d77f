"""The composition root: builds each part of a gateway once, connects the parts, starts them and closes them."""

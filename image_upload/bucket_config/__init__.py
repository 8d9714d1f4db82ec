"""The bucket's configuration: the rules that the service needs, their difference from what is set, and setting them."""

"""The shop as a service of its own: an HTTP API over the tools, which keeps its data in SQLite, and its client."""

from spec_envs.retail.shop.app import Faults, serving
from spec_envs.retail.shop.client import HttpTools
from spec_envs.retail.shop.database import ShopDatabase

__all__ = ["Faults", "HttpTools", "ShopDatabase", "serving"]

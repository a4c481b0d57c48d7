"""The shop as a service of its own: an HTTP API over the tools, with SQLite behind it, and the tools that call it."""

from spec_envs.retail.shop.client import HttpTools
from spec_envs.retail.shop.database import ShopDatabase
from spec_envs.retail.shop.faults import Faults
from spec_envs.retail.shop.server import serving

__all__ = ["Faults", "HttpTools", "ShopDatabase", "serving"]

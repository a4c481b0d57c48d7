"""The records of τ³-bench: their fields in the order in which its tools show them, with the defaults of missing ones.

The benchmark reads its database through such models and shows what they dump. So a price is always a float there, a
field that it does not know is dropped, and an order has all fields that a change could fill in.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spec_envs.retail.store.data import TABLES, Record, Table


class Variant(BaseModel):
    """A variant of a product, which the tools call an item."""

    item_id: str
    options: dict[str, str]
    available: bool
    price: float


class Product(BaseModel):
    """A product and its variants by id."""

    name: str
    product_id: str
    variants: dict[str, Variant]


class UserName(BaseModel):
    """The name of a user."""

    first_name: str
    last_name: str


class UserAddress(BaseModel):
    """An address. The benchmark's name for this class stands in its error about an argument that is no text."""

    address1: str
    address2: str
    city: str
    country: str
    state: str
    zip: str


class CreditCard(BaseModel):
    """A credit card."""

    source: Literal["credit_card"]
    id: str
    brand: str
    last_four: str


class Paypal(BaseModel):
    """A PayPal account."""

    source: Literal["paypal"]
    id: str


class GiftCard(BaseModel):
    """A gift card and what is left on it."""

    source: Literal["gift_card"]
    id: str
    balance: float


class User(BaseModel):
    """A user."""

    user_id: str
    name: UserName
    address: UserAddress
    email: str
    payment_methods: dict[str, Annotated[CreditCard | GiftCard | Paypal, Field(discriminator="source")]]
    orders: list[str]


class Fulfillment(BaseModel):
    """What was sent of an order."""

    tracking_id: list[str]
    item_ids: list[str]


class OrderItem(BaseModel):
    """An item of an order as it was bought."""

    name: str
    product_id: str
    item_id: str
    price: float
    options: dict[str, str]


class OrderPayment(BaseModel):
    """A payment of an order, or a refund."""

    transaction_type: Literal["payment", "refund"]
    amount: float
    payment_method_id: str


class Order(BaseModel):
    """An order, with the fields that are ``None`` until a change fills them in."""

    order_id: str
    user_id: str
    address: UserAddress
    items: list[OrderItem]
    status: Literal[
        "processed",
        "pending",
        "pending (item modified)",
        "delivered",
        "cancelled",
        "exchange requested",
        "return requested",
    ]
    fulfillments: list[Fulfillment]
    payment_history: list[OrderPayment]
    cancel_reason: Literal["no longer needed", "ordered by mistake"] | None = None
    exchange_items: list[str] | None = None
    exchange_new_items: list[str] | None = None
    exchange_payment_method_id: str | None = None
    exchange_price_difference: float | None = None
    return_items: list[str] | None = None
    return_payment_method_id: str | None = None


class RetailDatabase(BaseModel):
    """All data of the shop."""

    model_config = ConfigDict(extra="forbid")

    products: dict[str, Product]
    users: dict[str, User]
    orders: dict[str, Order]


def tables_of(database: Any) -> Mapping[Table, Mapping[str, Record]]:
    """Return the tables in the form in which the tools show their records.

    Raises:
        ValueError: The database has not the form of τ³-bench's, or an order is not of a user with its payment methods;
            the message says where.
    """
    tables = RetailDatabase.model_validate(database).model_dump()
    for order_id, order in tables["orders"].items():
        user = tables["users"].get(order["user_id"])
        if user is None:
            raise ValueError(f"order {order_id!r} is of {order['user_id']!r}, who is not among the users")
        for paid in order["payment_history"]:
            # The tools of the benchmark change a part of the data before they miss a payment method.
            if paid["payment_method_id"] not in user["payment_methods"]:
                raise ValueError(
                    f"order {order_id!r} was paid with {paid['payment_method_id']!r}, which is no payment method of "
                    f"{order['user_id']!r}"
                )
    return {table: tables[table] for table in TABLES}

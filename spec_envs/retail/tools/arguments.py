"""The arguments of each tool: their names, types, and descriptions for the agent."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

OrderId = Annotated[StrictStr, Field(description="Id of the order with its leading '#', for example '#W0000000'.")]
UserId = Annotated[StrictStr, Field(description="Id of the user, for example 'sara_doe_496'.")]
PaymentId = Annotated[
    StrictStr,
    Field(
        description="Id of one of the user's payment methods, for example 'gift_card_0000000' or "
        "'credit_card_0000000'; the details of the user list them."
    ),
]
ItemIds = Annotated[
    list[StrictStr],
    Field(
        description="Ids of items of the order, each like '1008292230'; an item that is meant twice is listed twice."
    ),
]
NewItemIds = Annotated[
    list[StrictStr],
    Field(
        description="Ids of the items to have instead, in the order of item_ids: each must be an available item of the "
        "same product as the one it replaces."
    ),
]

REASONS = ("no longer needed", "ordered by mistake")


class Arguments(BaseModel):
    """Arguments of a tool. No argument may be missing or unknown, and values of another type are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoArguments(Arguments):
    """The arguments of a tool without arguments."""


class Calculate(Arguments):
    """The arguments of ``calculate``."""

    expression: StrictStr = Field(
        description="What to calculate, for example '2 + 2': numbers, the operators +, -, * and /, parentheses, spaces."
    )


class Think(Arguments):
    """The arguments of ``think``."""

    thought: StrictStr = Field(description="The thought.")


class Transfer(Arguments):
    """The arguments of ``transfer_to_human_agents``."""

    summary: StrictStr = Field(description="What the user wants and how far it has come.")


class Email(Arguments):
    """The arguments of ``find_user_id_by_email``."""

    email: StrictStr = Field(description="The user's e-mail address, for example 'something@example.com'.")


class NameZip(Arguments):
    """The arguments of ``find_user_id_by_name_zip``."""

    first_name: StrictStr = Field(description="First name, for example 'John'.")
    last_name: StrictStr = Field(description="Last name, for example 'Doe'.")
    zip: StrictStr = Field(description="Zip code, for example '12345'.")


class User(Arguments):
    """The arguments of a tool about one user."""

    user_id: UserId


class Order(Arguments):
    """The arguments of a tool about one order."""

    order_id: OrderId


class Product(Arguments):
    """The arguments of a tool about one product."""

    product_id: StrictStr = Field(
        description="Id of the product, for example '6086499569'; not the same as the id of an item."
    )


class Item(Arguments):
    """The arguments of a tool about one item, which only τ³-bench has."""

    item_id: StrictStr = Field(
        description="Id of the item, for example '6086499569'; not the same as the id of a product."
    )


class Cancel(Order):
    """The arguments of ``cancel_pending_order``."""

    # The values are only in the schema: as in tau-bench, an error about the order comes before one about the reason.
    reason: StrictStr = Field(description="Why the order is cancelled.", json_schema_extra={"enum": list(REASONS)})


class Payment(Order):
    """The arguments of ``modify_pending_order_payment``."""

    payment_method_id: PaymentId


class Return(Order):
    """The arguments of ``return_delivered_order_items``."""

    item_ids: ItemIds
    payment_method_id: PaymentId


class Replace(Order):
    """The arguments of the tools that replace items of an order."""

    item_ids: ItemIds
    new_item_ids: NewItemIds
    payment_method_id: PaymentId


class _Address(Arguments):
    address1: StrictStr = Field(description="First line of the address, for example '123 Main St'.")
    address2: StrictStr = Field(description="Second line of the address, for example 'Apt 1', or ''.")
    city: StrictStr = Field(description="City, for example 'San Francisco'.")
    state: StrictStr = Field(description="State, for example 'CA'.")
    country: StrictStr = Field(description="Country, for example 'USA'.")
    zip: StrictStr = Field(description="Zip code, for example '12345'.")

    def record(self) -> dict[str, str]:
        """Return the address as the records of orders and users hold it."""
        return {name: getattr(self, name) for name in ("address1", "address2", "city", "state", "country", "zip")}


class OrderAddress(_Address, Order):
    """The arguments of ``modify_pending_order_address``."""


class UserAddress(_Address, User):
    """The arguments of ``modify_user_address``."""


def schema_of(arguments: type[Arguments]) -> dict[str, Any]:
    """Return the JSON schema of the arguments, without the parts that tell a chat model nothing."""
    schema = arguments.model_json_schema()
    properties: dict[str, Any] = schema.get("properties", {})
    for description in properties.values():
        description.pop("title", None)
    return {
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def explain(tool: str, error: ValidationError) -> str:
    """Return the text that tells the agent what is wrong with a tool's arguments.

    tau-bench's tools are Python functions that are called with the arguments as keywords, so the text about an unknown
    or missing argument is Python's own. tau-bench accepts arguments of wrong types; the text about these is ours.
    """
    problems = error.errors(include_url=False)
    function = f"{''.join(part.capitalize() for part in tool.split('_'))}.invoke()"
    unknown = [problem["loc"][0] for problem in problems if problem["type"] == "extra_forbidden"]
    if unknown:
        return f"{function} got an unexpected keyword argument '{unknown[0]}'"
    missing = [repr(problem["loc"][0]) for problem in problems if problem["type"] == "missing"]
    if missing:
        last = f"{',' if len(missing) > 2 else ''} and {missing[-1]}" if missing[1:] else missing[0]
        names = ", ".join(missing[:-1]) + last
        return f"{function} missing {len(missing)} required positional argument{'s' if missing[1:] else ''}: {names}"
    wrong = [f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in problems]
    return f"invalid arguments for {tool}: {'; '.join(wrong)}"

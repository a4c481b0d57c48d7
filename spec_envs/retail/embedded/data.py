"""The data of the generated shop: users, orders and products in tau-bench's form, made from one seed."""

import itertools
from collections.abc import Mapping
from typing import Any

from spec_envs.draws import Draws
from spec_envs.retail.store.data import Table

#: Product, typical price in dollars, and the options, written "option: value, value; option: value, value".
_PRODUCTS = """
Alarm Clock | 29 | display: digital, analog; color: white, red, mint; power: battery, mains
Backyard Tent | 189 | capacity: 2-person, 4-person, 6-person; color: green, orange, sand
Baking Pan | 24 | shape: round, square, loaf; coating: ceramic, non-stick, none
Beach Towel | 27 | pattern: striped, plain, floral; color: turquoise, coral, navy
Bike Helmet | 74 | size: S, M, L; color: black, white, yellow; visor: yes, no
Board Game | 41 | edition: family, travel, deluxe; language: English, Spanish, French
Bread Machine | 138 | loaf size: 500 g, 750 g, 1 kg; color: black, silver
Camping Stove | 66 | fuel: gas, spirit, multi-fuel; burners: one, two
Car Charger | 22 | ports: 1, 2, 4; connector: USB-A, USB-C; cable: yes, no
Chess Set | 58 | material: maple, walnut, plastic; size: travel, club, tournament
Coffee Press | 37 | volume: 350 ml, 600 ml, 1 l; material: glass, steel
Cookbook | 32 | cuisine: Italian, Thai, Mexican, Indian; binding: hardcover, spiral
Cutting Board | 34 | material: bamboo, oak, rubber; size: small, medium, large
Dartboard | 62 | type: bristle, electronic, magnetic; surround: yes, no
Dumbbells | 88 | weight: 5 kg, 10 kg, 15 kg; coating: neoprene, iron, vinyl
Electric Shaver | 109 | heads: 2, 3, 5; color: black, blue; charging: stand, cable
Fishing Rod | 97 | length: 1.8 m, 2.4 m, 3.0 m; action: light, medium, heavy
Floor Lamp | 119 | height: 140 cm, 160 cm, 180 cm; color: brass, black, white; dimmer: yes, no
Fountain Pen | 52 | nib: fine, medium, broad; color: black, burgundy, teal
Garden Hose | 45 | length: 15 m, 25 m, 50 m; nozzle: spray, jet, none
Guitar Strings | 18 | gauge: light, medium, heavy; material: nylon, bronze, nickel
Hair Dryer | 64 | power: 1600 W, 2000 W; color: white, purple, black; diffuser: yes, no
Hammock | 71 | material: cotton, nylon; color: rainbow, cream, blue; stand: yes, no
Hand Mixer | 48 | speeds: 5, 7, 9; color: red, white, black
Ice Skates | 93 | size: 37, 39, 41, 43; type: figure, hockey
Jewelry Box | 43 | finish: cherry, white, grey; compartments: 6, 12, 18
Knife Block | 142 | knives: 5, 7, 9; material: beech, acacia, steel
Lunch Box | 26 | compartments: 1, 2, 3; material: steel, plastic, bamboo
Microphone | 129 | connector: USB-C, XLR; color: black, silver; pop filter: yes, no
Music Stand | 39 | type: folding, orchestra; color: black, silver, wood
Picnic Basket | 78 | persons: 2, 4, 6; lining: checked, plain; cooler: yes, no
Pillow | 49 | filling: down, memory foam, wool; firmness: soft, medium, firm
Pocket Knife | 55 | tools: 6, 12, 18; color: red, black, olive
Rain Jacket | 112 | size: S, M, L, XL; color: yellow, navy, grey
Record Player | 209 | speeds: 2, 3; color: walnut, black, white; speakers: yes, no
Ruler Set | 14 | material: wood, steel, acrylic; length: 20 cm, 30 cm
Scarf | 36 | material: wool, silk, cashmere; color: grey, green, plum
Shower Head | 46 | spray modes: 1, 3, 6; finish: chrome, brass, black
Sketchbook | 19 | format: A5, A4, A3; paper: smooth, rough
Sleeping Mat | 68 | thickness: 3 cm, 5 cm, 8 cm; color: green, grey; self-inflating: yes, no
Snow Shovel | 33 | blade: steel, aluminium, plastic; handle: straight, D-grip
Table Fan | 54 | diameter: 20 cm, 30 cm, 40 cm; color: white, black; remote: yes, no
Umbrella | 31 | type: folding, stick, golf; color: black, red, transparent
Wall Mirror | 86 | shape: round, oval, square; frame: oak, black, gold
Wool Blanket | 82 | size: throw, twin, queen; color: oatmeal, charcoal, rust
Yoga Block | 17 | material: cork, foam, bamboo; color: natural, blue, pink
"""

_FIRST_NAMES = """
Ada Aisha Alan Bea Boris Carla Chen Clara Dario Dora Elif Emil Esther Felix Freya Gita Hugo Ines Jonas Kaya Kofi Laila
Lars Lena Marco Maya Milan Nadia Nils Nora Oscar Petra Priya Quinn Rosa Samir Tara Theo Uma Victor Wanda Yuki Zoe
"""
_LAST_NAMES = """
Abara Adler Becker Bianchi Castro Dalton Duarte Eriksen Fabian Farkas Gallo Haddad Hansen Ibarra Jansen Kaplan Keller
Laurent Lindgren Mbeki Moreau Nakamura Novak Okoro Olsen Park Petrov Quist Ramos Rossi Sato Silber Tanaka Torres Ueda
Varga Weber Winter Yilmaz Zhang
"""
_STREETS = "Alder Birch Canal Chapel Dover Ferry Garden Harbor Juniper Linden Market Mill Orchard Quarry Station Willow"
_KINDS_OF_STREET = ("Street", "Avenue", "Lane", "Road", "Court")

#: City, state, and the first three digits of its zip codes.
CITIES = (
    ("Albany", "NY", "122"),
    ("Boise", "ID", "837"),
    ("Boulder", "CO", "803"),
    ("Durham", "NC", "277"),
    ("Eugene", "OR", "974"),
    ("Fresno", "CA", "937"),
    ("Madison", "WI", "537"),
    ("Mobile", "AL", "366"),
    ("Omaha", "NE", "681"),
    ("Reno", "NV", "895"),
    ("Savannah", "GA", "314"),
    ("Tucson", "AZ", "857"),
    ("Tulsa", "OK", "741"),
    ("Waco", "TX", "767"),
)


def _product(line: str) -> tuple[str, int, dict[str, tuple[str, ...]]]:
    name, price, choices = (part.strip() for part in line.split("|"))
    options = {}
    for choice in choices.split(";"):
        option, _, values = choice.partition(":")
        options[option.strip()] = tuple(value.strip() for value in values.split(","))
    return name, int(price), options


#: Name, typical price, and the values of each option.
PRODUCTS = tuple(map(_product, _PRODUCTS.strip().splitlines()))
FIRST_NAMES = tuple(_FIRST_NAMES.split())
LAST_NAMES = tuple(_LAST_NAMES.split())
STREETS = tuple(f"{name} {kind}" for name in _STREETS.split() for kind in _KINDS_OF_STREET)


#: The seed of the data called "embedded".
SEED = 20240

_USERS = 240
_STATUSES = ("pending",) * 9 + ("delivered",) * 8 + ("processed",) * 2 + ("cancelled",)
_BRANDS = ("visa", "mastercard", "amex")
_Json = dict[str, Any]


def generate_tables(seed: int) -> dict[Table, Mapping[str, Any]]:
    """Return the three tables of the shop that is generated from ``seed``."""
    ids = _Ids()
    products = _products(Draws("products", seed), ids)
    draws = Draws("users", seed)
    users, orders = {}, {}
    for number in range(_USERS):
        user_id, user = _user(draws, ids)
        # Every user has at least one order that can be changed and one that can be returned.
        first = ["pending", "delivered"] if number % 2 else ["delivered", "pending"]
        for status in (*first, *(draws.pick(_STATUSES) for _ in range(draws.between(0, 2)))):
            order_id = ids.new(draws, 7, "#W")
            orders[order_id] = _order(draws, ids, order_id, user_id, user, status, products)
            user["orders"].append(order_id)
        users[user_id] = user
    return {"orders": orders, "products": products, "users": users}


def address(draws: Draws) -> dict[str, str]:
    """Draw an address."""
    city, state, zip_start = draws.pick(CITIES)
    line2 = f"{draws.pick(('Apt', 'Suite', 'Unit'))} {draws.between(1, 990)}" if draws.chance(0.8) else ""
    return {
        "address1": f"{draws.between(10, 990)} {draws.pick(STREETS)}",
        "address2": line2,
        "city": city,
        "country": "USA",
        "state": state,
        "zip": zip_start + "".join(str(draws.below(10)) for _ in range(2)),
    }


class _Ids:
    """Makes ids, each of them once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, draws: Draws, digits: int, prefix: str = "") -> str:
        while (made := prefix + draws.digits(digits)) in self._taken:
            pass
        self._taken.add(made)
        return made


def _products(draws: Draws, ids: _Ids) -> _Json:
    products = {}
    for name, price, options in draws.shuffled(PRODUCTS):
        product_id = ids.new(draws, 10)
        variants = {}
        combinations = draws.shuffled(list(itertools.product(*options.values())))
        for values in combinations[: max(5, len(combinations) * 3 // 4)]:
            item_id = ids.new(draws, 10)
            variants[item_id] = {
                "item_id": item_id,
                "options": dict(zip(options, values, strict=True)),
                "available": draws.chance(0.8),
                "price": round(price * (0.85 + draws.below(3000) / 10_000), 2),
            }
        products[product_id] = {"name": name, "product_id": product_id, "variants": variants}
    return products


def _user(draws: Draws, ids: _Ids) -> tuple[str, _Json]:
    first, last = draws.pick(FIRST_NAMES), draws.pick(LAST_NAMES)
    user_id = ids.new(draws, 4, f"{first}_{last}_".lower())
    user = {
        "name": {"first_name": first, "last_name": last},
        "address": address(draws),
        "email": f"{first}.{last}{draws.digits(4)}@example.com".lower(),
        "payment_methods": {method["id"]: method for method in _methods(draws, ids)},
        "orders": [],
    }
    return user_id, user


def _methods(draws: Draws, ids: _Ids) -> list[_Json]:
    """Draw one to three payment methods of different kinds, so that "my gift card" means only one of them."""
    methods = []
    for kind in draws.shuffled(("credit_card", "gift_card", "paypal"))[: draws.pick((1, 2, 2, 3, 3))]:
        method: _Json = {"source": kind}
        if kind == "credit_card":
            method |= {"brand": draws.pick(_BRANDS), "last_four": draws.digits(4)}
        if kind == "gift_card":
            method["balance"] = draws.pick((0, draws.between(5, 100), draws.between(100, 900)))
        methods.append(method | {"id": ids.new(draws, 7, f"{kind}_")})
    return methods


def _order(
    draws: Draws, ids: _Ids, order_id: str, user_id: str, user: _Json, status: str, products: Mapping[str, Any]
) -> _Json:
    items = []
    for product in draws.shuffled(list(products.values()))[: draws.between(1, 5)]:
        variant = draws.pick(list(product["variants"].values()))
        items.append(
            {
                "name": product["name"],
                "product_id": product["product_id"],
                "item_id": variant["item_id"],
                "price": variant["price"],
                "options": dict(variant["options"]),
            }
        )
    method = draws.pick(list(user["payment_methods"]))
    total = round(sum(item["price"] for item in items), 2)
    kinds = ("payment", "refund") if status == "cancelled" else ("payment",)
    shipped = status in ("processed", "delivered")
    tracking = {"tracking_id": [draws.digits(12)], "item_ids": [item["item_id"] for item in items]}
    return {
        "order_id": order_id,
        "user_id": user_id,
        # Some orders are sent to another address than the customer's own.
        "address": dict(user["address"]) if draws.chance(0.8) else address(draws),
        "items": items,
        "fulfillments": [tracking] if shipped else [],
        "status": status,
        "payment_history": [{"transaction_type": kind, "amount": total, "payment_method_id": method} for kind in kinds],
    }

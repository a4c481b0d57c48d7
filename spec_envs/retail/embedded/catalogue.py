"""What the generated shop is made of: products with their options, names of people, streets and cities."""

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

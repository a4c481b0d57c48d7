"""The names of the embedded world: lists of names, and the draws from such lists. No name is drawn twice."""

import dataclasses
from collections.abc import Callable, Sequence

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity


@dataclasses.dataclass(frozen=True, slots=True)
class CountryNames:
    """The names in a country. A list of names is one text with words separated by spaces."""

    name: str
    demonym: str
    language: str
    currency: str
    women: str
    men: str
    surnames: str
    towns: str
    rivers: str
    mountains: str


COUNTRIES = (
    CountryNames(
        *("Merrow", "Merrovian", "Merrish", "crown"),
        women="Ada Beatrice Clara Dorothy Edith Flora Hester Imogen Lavinia Mabel Nell Olive Rosalind Winifred",
        men="Alban Bernard Cecil Duncan Edmund Gilbert Harold Jasper Lionel Miles Percival Ralph Silas Walter",
        surnames="Fenwick Aldous Marlowe Thackray Penrose Harcastle Ridley Ashdown Quill Wainwright Trewin Lockyer "
        "Sallow Garland Hobday Merrick Pascoe Underhill Winslade Tarrant Copley Drewett Farthing Kestle",
        towns="Tallow Winscombe Hartlebury Saltmarsh Pengrove Oxwell Thornaby Carrick Lydmouth Briarhead",
        rivers="Ash Wenlow",
        mountains="Harrow Skell",
    ),
    CountryNames(
        *("Valdria", "Valdrian", "Valdrian", "florin"),
        women="Alba Bianca Celestina Elvira Fiamma Giacinta Livia Marisol Ottavia Paloma Renata Serafina Viola Zita",
        men="Amadeo Basilio Corrado Dario Ettore Fausto Gaspare Ignacio Lorenzo Matteo Orlando Raimondo Silvano Ugo",
        surnames="Montevar Bellacorte Salvaterra Ferrante Orsini Carduena Valcaro Lombrese Spinardi Altamira Bracciano "
        "Cordoval Durante Fioravanti Galeno Maravel Nardone Pontevera Rosales Tavella Vescari Zanetti Arcuri Solari",
        towns="Montaldo Portovela Sanrocca Castelmare Lucera Verdona Alcantra Pietranova Bellariva Torresecca",
        rivers="Arvo Tessina",
        mountains="Calvaro Sorina",
    ),
    CountryNames(
        *("Kestria", "Kestrian", "Kestrian", "dinar"),
        women="Anezka Bohdana Danica Eliska Halina Irena Katarina Ludmila Milena Nadezda Radka Sonja Vesna Zofia",
        men="Bogdan Casimir Dragan Emil Goran Ivan Jaromir Kazimir Lubos Miroslav Ondrej Radomir Stanislav Zoltan",
        surnames="Novotin Dvorsky Halek Zelenka Marecek Kovarik Sedlar Vlasov Petrik Horvatin Jelinek Brankov Cermak "
        "Dolezal Fialka Hrubin Kralik Lisowa Mazurek Oravec Ruzicka Slavik Tomasek Vranov",
        towns="Brezno Karlovec Staravoda Milostin Zelengrad Hradiste Dubravka Lipnik Novemost Ostrozna",
        rivers="Morna Vltesa",
        mountains="Krivan Rozsut",
    ),
    CountryNames(
        *("Halvmark", "Halvish", "Halvish", "daler"),
        women="Astrid Birgit Dagny Elin Freja Gudrun Hedda Ingrid Karin Liv Maren Sigrid Solveig Thora",
        men="Anders Bjarne Einar Folke Gunnar Halvard Ivar Jorgen Knut Leif Magnus Olav Rasmus Torsten",
        surnames="Lindqvist Halvorsen Bergstad Nygren Solheim Vestergard Aakre Dahlberg Ekholm Fjeldstad Grondal "
        "Hagelund Iversby Kjeldsen Lovdahl Moberg Nordby Ostergren Ravnsborg Skoglund Tveiten Uldahl Wessel Strandvik",
        towns="Fjordheim Kirkevik Grimsvik Nordhavn Elvestad Skagerup Lillesund Tranby Solvang Aldershus",
        rivers="Elva Skjold",
        mountains="Jotnar Snefell",
    ),
    CountryNames(
        *("Brandau", "Brandauer", "Brandisch", "thaler"),
        women="Adelheid Brunhilde Cordula Dorothea Elfriede Friederike Gerlinde Hedwig Isolde Leonore Mathilde "
        "Ottilie Roswitha Ursula",
        men="Albrecht Bertold Conrad Dietmar Egon Ferdinand Gottfried Heinrich Joachim Leopold Manfred Oswald "
        "Reinhold Wolfram",
        surnames="Ahlbrecht Brandner Eisenlohr Falkenrath Gerstner Hohenfels Klinger Lautenbach Morgenrot Niedermair "
        "Oberlin Pfandler Reinwald Seidlitz Tannhof Uhlbach Vogelsang Wendelin Zeller Immenhof Dornbusch Kaltenegg "
        "Roth Steinhauer",
        towns="Altmuhl Brannenfels Eichstetten Falkenau Grunwald Hohenlinden Ilmstadt Kronburg Lauterbach Marienthal",
        rivers="Ilse Lauter",
        mountains="Falkenstein Wettern",
    ),
    CountryNames(
        *("Ilmara", "Ilmaran", "Ilmaran", "mark"),
        women="Aino Eeva Helmi Impi Kaisa Laila Marjatta Niina Oili Pirkko Raija Saima Tuulikki Vieno",
        men="Aarne Eero Heikki Ilmo Jalmar Kalervo Lauri Martti Onni Paavo Reino Sulo Tapio Urho",
        surnames="Koskela Virtanen Harju Salovaara Lehtinen Nieminen Rantala Kivimaa Suominen Ahola Haapala Jarvela "
        "Karhunen Laitinen Makela Ojala Peltola Rautio Saarinen Toivola Uotila Vainio Ylitalo Honka",
        towns="Koivuranta Savilinna Jarvenkyla Hameensalo Kuusamaki Laukaranta Merivaara Noutola Pohjakoski Rautasaari",
        rivers="Kemara Oulava",
        mountains="Haltia Kolivaara",
    ),
)

ADJECTIVES = (
    "Silent Crooked Distant Golden Hollow Iron Last Long Northern Pale Quiet Scarlet Seventh Silver Sleeping "
    "Stolen Summer Unfinished Winter Broken Burning Hidden Narrow Salt Second Wooden"
).split()
NOUNS = (
    "Harbour Orchard Lantern Clockmaker River Garden Staircase Letter Ferryman Mirror Season Bridge Island "
    "Lighthouse Inheritance Carriage Piano Witness Cathedral Shore Cartographer Envelope Window Valley Guest "
    "Stranger Mountain Train Embassy Beekeeper"
).split()
PLURALS = "Lanterns Swallows Strangers Bells Shadows Oranges Horses Letters Rivers Ashes Roses Sparrows".split()
TIMES = "Winter|Autumn|Spring|Midsummer|November|the Rain|the Dark|the Morning".split("|")
HEROES = (
    "Miller Shepherd Captain Gardener Weaver Blacksmith Fisherman Innkeeper Organist Glassblower Gambler Hermit"
).split()
KIN = "Daughter Bride Wager Dream Return Secret".split()
SCENES = (
    "Women at the Well|Harvest near the Mill|The Card Players at Dusk|Boy with a Blue Kite|Still Life with Quinces|"
    "The Net Menders|Evening on the Quay|Interior with a Green Chair|Skaters on the Canal|The Letter from Abroad|"
    "Two Sisters at a Window|The Old Vineyard|Storm over the Breakwater|The Apothecary|Girl Reading by Lamplight|"
    "Market Day|The Ferry at Dawn|Orchard in Blossom|The Watchmaker's Shop|Portrait of a Fiddler|The Red Gate|"
    "Fishing Boats at Low Tide|A Procession in Snow|The Empty Cradle"
).split("|")


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """All names in a world, or in a part of it: of countries and seas, and the words of titles."""

    countries: Sequence[CountryNames]
    seas: Sequence[str]
    adjectives: Sequence[str]
    nouns: Sequence[str]
    plurals: Sequence[str]
    times: Sequence[str]
    heroes: Sequence[str]
    kin: Sequence[str]
    scenes: Sequence[str]  # titles of paintings, at least as many as there are painters


#: The names of the embedded world.
EMBEDDED = Vocabulary(
    countries=COUNTRIES,
    seas=("Grey Sea", "Sea of Lorn", "Gulf of Amaris"),
    adjectives=ADJECTIVES,
    nouns=NOUNS,
    plurals=PLURALS,
    times=TIMES,
    heroes=HEROES,
    kin=KIN,
    scenes=SCENES,
)


def names_of(country: Entity) -> CountryNames:
    """The names that are in use in a country."""
    names: CountryNames = country["names"]
    return names


class Namer:
    """Draws names, each at most once.

    Args:
        draws: Makes the random choices.
        vocabulary: What the names are made of.
        taken: The names that are in use already, to which those that are drawn are added.
    """

    def __init__(self, draws: Draws, vocabulary: Vocabulary, taken: set[str]) -> None:
        self._draws = draws
        self._vocabulary = vocabulary
        self._taken = taken
        self._scenes = draws.shuffled(vocabulary.scenes)

    def person(self, country: Entity, female: bool) -> str:
        """A first name and a surname."""
        there = names_of(country)
        first = (there.women if female else there.men).split()
        return self._new(lambda: f"{self._draws.pick(first)} {self._draws.pick(there.surnames.split())}")

    def surname(self, country: Entity) -> str:
        """A surname that is no name of an organisation or work so far."""
        return self._new(lambda: self._draws.pick(names_of(country).surnames.split()))

    def novel(self) -> str:
        """A title for a novel or a film."""
        pick, words = self._draws.pick, self._vocabulary
        forms: tuple[Callable[[], str], ...] = (
            lambda: f"The {pick(words.adjectives)} {pick(words.nouns)}",
            lambda: f"The {pick(words.adjectives)} {pick(words.nouns)}",
            lambda: f"{pick(words.plurals)} in {pick(words.times)}",
            lambda: f"A {pick(words.nouns)} for {pick(words.heroes)}s".replace("A E", "An E").replace("A I", "An I"),
        )
        return self._new(lambda: pick(forms)())

    def opera(self) -> str:
        """A title for an opera."""
        pick, words = self._draws.pick, self._vocabulary
        return self._new(lambda: f"The {pick(words.heroes)}'s {pick(words.kin)}")

    def painting(self) -> str:
        """A title for a painting."""
        return self._scenes.pop()

    def _new(self, make: Callable[[], str]) -> str:
        while (made := make()) in self._taken:
            pass
        self._taken.add(made)
        return made

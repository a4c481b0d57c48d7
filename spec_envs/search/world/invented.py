"""Invented names for generated worlds other than the embedded world, so that an agent has never seen these names.

Countries, places and people are called by words of syllables; each country has sounds of its own. Titles of works are
put together from lists that are longer than those of the embedded world.
"""

from collections.abc import Iterator, Sequence

from spec_envs.draws import Draws
from spec_envs.search.world.names import COUNTRIES, CountryNames, Vocabulary

_ONSETS = "b d f g h j k l m n p r s t v w z".split()
_CLUSTERS = "br ch cl dr fl fr gl gr kn pl pr sh sk st str th tr".split()
_VOWELS = "a e i o u aa ai au ea ee ei ia ie io oa oo ou".split()
_CODAS = "b ck d ft g k l ld lk ll lm ln lt m mb n nd ng nk nt p r rd rk rl rm rn rt s sk ss st t th x z".split()
_TOWNS = "berg bridge brook burg by dal don ford gard grad ham holm ley mar mouth ona stad stow ton ville wick".split()
_SURNAMES = "acz aro berg cott dal ecki eno er ero ez in ini ley mann ola ov quist sen ska stad ton well wood".split()
_WOMEN = "a ana e ela elle eth ia ika ina ise ith ora".split()
_MEN = "an ar as ek el en ert in o on or us".split()
_RIVERS = "a ava e el en er ina o ra ve".split()
_MOUNTAINS = "ag ak ar eck el horn ir kin or os".split()
#: Endings of a country, of its people and of its language.
_COUNTRIES = (
    ("ia", "ian", "ian"),
    ("mark", "markish", "markish"),
    ("ora", "oran", "oric"),
    ("avia", "avian", "avic"),
    ("esh", "eshi", "eshi"),
    ("on", "onese", "onese"),
    ("land", "landish", "landish"),
    ("enia", "enian", "enish"),
)
_CURRENCIES = "batz crown denar doubloon ducat escu florin groat guilder leu livre mark noble peso rial thaler".split()
_SEAS = ("{} Sea", "Sea of {}", "Gulf of {}")

_ADJECTIVES = (
    "Amber Ancient Austere Bitter Blind Blue Borrowed Brave Brazen Bright Brittle Bronze Careful Clever Clouded Cold "
    "Copper Covered Curious Dancing Dark Deep Divided Double Drowned Early Eastern Eighth Empty Endless Faithful "
    "Fallen False Famous Fearless Feathered Final First Floating Folded Foreign Forgotten Frozen Gentle Gilded Glass "
    "Granite Gray Green Half-Built Haunted Heavy Honest Hungry Ivory Jealous Kindly Late Leaden Little Lonely Lost "
    "Lucky Marble Merciful Midnight Misty Modest Moonlit Naked Nameless New Ninth Noble Old Paper Patient Perfect "
    "Plain Polished Poor Proud Purple Rare Reluctant Restless Rich Ruined Rusted Sacred Second-Hand Secret Shallow "
    "Shining Silken Simple Singing Sixth Slow Solemn Southern Stubborn Sudden Sunken Tender Third Thirsty Timid "
    "Uncertain Unsent Unwritten Velvet Violet Wandering Weary Western White Wild Wicked Winding Yellow Young"
).split()
_NOUNS = (
    "Accordion Balcony Ballroom Banquet Barge Barometer Barn Basket Bazaar Beacon Bell Boathouse Bonfire Border "
    "Bracelet Bridegroom Cabin Calendar Candle Canvas Caravan Castle Cellar Cello Chandelier Chapel Chess-Player Choir "
    "Circus Coachman Colonel Compass Conductor Corridor Courtyard Crossing Crown Curtain Dancer Daughter Desert Diary "
    "Doctor Door Dowry Dragonfly Drawbridge Drummer Farm Farewell Ferry Fiddler Forest Fountain Fugitive Funeral "
    "Gallery Gate Ghost Glacier Glove Governess Granary Greenhouse Harpist Harvest Heir Hill Horizon Hotel House "
    "Hunter Jeweller Journey Judge Juggler Key Kingdom Kitchen Ladder Lake Lamp Landlord Library Lock Magician "
    "Marriage Mask Meadow Medal Mill Mine Monastery Moon Museum Musician Necklace Neighbour Night Nurse Painter Palace "
    "Parrot Passenger Pavilion Peddler Pendulum Photograph Pilgrim Pilot Poet Portrait Postcard Prisoner Promise "
    "Proof Quarry Rain Refuge Rehearsal Rider Ring Road Robe Room Sailor Scholar School Sculptor Shadow Ship Sister "
    "Sleeper Snowfall Soldier Song Spy Stable Station Statue Steamer Stone Storm Street Sundial Tailor Telegram Temple "
    "Terrace Theatre Thief Toll Tower Tramway Traveller Treasure Tree Trial Tunnel Twin Vagabond Vault Verdict Veranda "
    "Village Violin Visitor Voice Voyage Wager Waltz Watchman Waterfall Wedding Well Widow Wife Winter Workshop Wreck"
).split()
_PLURALS = (
    "Acrobats Anchors Apples Bridges Brothers Candles Cherries Clouds Cousins Cranes Dancers Doves Echoes Falcons "
    "Feathers Ferries Fires Flags Foxes Gardens Geese Ghosts Gloves Gypsies Harps Hats Herons Islands Keys Kites "
    "Ladders Lamps Larks Lilacs Lions Maps Masks Mirrors Moths Neighbours Nettles Owls Pearls Pigeons Pilgrims Poppies "
    "Promises Rumours Sails Sisters Snails Sleepers Statues Storks Thieves Thorns Towers Trains Twins Violins Windows"
).split()
_TIMES = (
    "April|August|Autumn|December|February|January|July|June|March|May|Midwinter|November|October|September|Spring|"
    "Summer|Winter|the Afternoon|the Attic|the Avenue|the Cellar|the City|the Cold|the Country|the Dark|the Desert|"
    "the Distance|the Dust|the Evening|the Fog|the Forest|the Frost|the Garden|the Grass|the Half-Light|the Harbour|"
    "the Heat|the Heather|the House|the Lamplight|the Marsh|the Mist|the Moonlight|the Morning|the Mountains|the North|"
    "the Orchard|the Province|the Rain|the Reeds|the Sand|the Smoke|the Snow|the South|the Storm|the Sun|the Twilight|"
    "the Valley|the Water|the Wind"
).split("|")
_HEROES = (
    "Archer Baker Barber Basketmaker Beggar Bellringer Bookbinder Brewer Butler Candlemaker Carpenter Chaplain Clerk "
    "Cobbler Composer Cook Cooper Courier Dancer Dyer Falconer Farmer Fiddler Forester Gaoler General Glazier "
    "Goldsmith Governor Hatter Hunter Jester Juggler King Knight Locksmith Magician Mason Merchant Minstrel "
    "Nightwatch Painter Pedlar Pharmacist Physician Piper Poet Porter Potter Printer Ranger Ropemaker Saddler Sailor "
    "Scholar Shipwright Silversmith Smuggler Soldier Sorcerer Spinner Tailor Tanner Tinker Trumpeter Vintner Wanderer "
    "Woodcutter"
).split()
_KIN = (
    "Apprentice Bargain Brother Choice Cloak Confession Courtship Curse Dance Debt Departure Destiny Disguise Double "
    "Escape Exile Farewell Feast Folly Fortune Garden Ghost Gift Heir Holiday Homecoming Honour Journey Lament Letter "
    "Love Mask Mistake Nephew Niece Oath Pardon Prayer Pride Promise Punishment Revenge Ring Riddle Rival Ruse Servant "
    "Shadow Sister Sorrow Test Vigil Vow Wedding Widow Wife Will"
).split()
_SUBJECTS = (
    "Apples|Bathers|Bell-Founders|Boats|Bread and Cheese|Bricklayers|Children with a Kite|Cyclists|Dancers|Dinner|"
    "Dogs at Play|Evening|Fishwives|Fog|Gleaners|Goats|Hay-Makers|Horses|Laundry|Lemons and a Jug|Lovers|Low Sun|"
    "Masks|Men Playing Cards|Mending the Nets|Morning|Mothers|Musicians|Nightfall|Old Friends|Pears in a Bowl|"
    "Pigeons|Porters|Reapers|Rowers|Sacks of Flour|Schoolgirls|Sheep-Shearing|Shoemakers|Skaters|Snow|Sunday|"
    "Swallows|The Apprentice|The Bride|The Conversation|The Dentist|The Duel|The Gamblers|The Hunt|The Letter|"
    "The Nap|The Newcomer|The Organ-Grinder|The Picnic|The Quarrel|The Sick Child|The Wake|Two Nuns|Washing Day"
).split("|")
_SETTINGS = (
    "at Dawn|at High Tide|at Noon|at Sunset|at the Ford|at the Gate|at the Inn|at the Lock|at the Mill|at the Station|"
    "before the Storm|behind the Barn|beneath the Bridge|beside a Canal|beside the Road|by Candlelight|by Moonlight|"
    "by the Fire|by the Lake|by the Sea|by the Window|in April|in a Courtyard|in a Doorway|in a Garden|in an Attic|"
    "in the Arcade|in the Fields|in the Kitchen|in the Market|in the Mountains|in the Orchard|in the Rain|"
    "in the Square|in the Stable|in the Studio|in the Vineyard|near a Well|near the Quarry|on a Balcony|on a Hill|"
    "on a Terrace|on the Beach|on the Ice|on the Quay|on the Stairs|under a Lamp|under an Elm|under the Arches|"
    "under the Snow"
).split("|")

#: How many paintings there may be in a part of a world.
_PAINTINGS = 24


class Inventor:
    """Invents the names of a world, part by part; no word of syllables is invented twice.

    Args:
        draws: Makes the random choices.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._invented: set[str] = set()
        self._scenes = draws.shuffled([f"{subject} {setting}" for subject in _SUBJECTS for setting in _SETTINGS])

    def part(self) -> Vocabulary:
        """The names of a part of the world that is about as large as the embedded world."""
        countries = [self._country() for _ in COUNTRIES]
        sounds = _Sounds(self._draws)
        scenes, self._scenes = self._scenes[:_PAINTINGS], self._scenes[_PAINTINGS:]
        return Vocabulary(
            countries=countries,
            seas=tuple(form.format(self._word(sounds, "")) for form in _SEAS),
            adjectives=_ADJECTIVES,
            nouns=_NOUNS,
            plurals=_PLURALS,
            times=_TIMES,
            heroes=_HEROES,
            kin=_KIN,
            scenes=scenes,
        )

    def _country(self) -> CountryNames:
        sounds, like = _Sounds(self._draws), self._draws.pick(COUNTRIES)
        country, demonym, language = self._draws.pick(_COUNTRIES)
        stem = self._word(sounds, "")

        def names(example: str, endings: Sequence[str]) -> str:
            ending = self._draws.shuffled(endings)[:5]
            return " ".join(self._word(sounds, self._draws.pick(ending)) for _ in example.split())

        return CountryNames(
            *(stem + country, stem + demonym, stem + language, self._draws.pick(_CURRENCIES)),
            women=names(like.women, _WOMEN),
            men=names(like.men, _MEN),
            surnames=names(like.surnames, _SURNAMES),
            towns=names(like.towns, _TOWNS),
            rivers=names(like.rivers, _RIVERS),
            mountains=names(like.mountains, _MOUNTAINS),
        )

    def _word(self, sounds: "_Sounds", ending: str) -> str:
        while (word := sounds.word(ending)) in self._invented:
            pass
        self._invented.add(word)
        return word


class _Sounds:
    """The syllables of a language."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._onsets = draws.shuffled(_ONSETS)[:9] + draws.shuffled(_CLUSTERS)[:2]
        self._vowels = draws.shuffled(_VOWELS[:5])[:4] + draws.shuffled(_VOWELS[5:])[:1]
        self._codas = draws.shuffled(_CODAS)[:8]

    def word(self, ending: str) -> str:
        """A name: one syllable or two, and the ending."""
        return "".join(self._parts(ending)).capitalize()

    def _parts(self, ending: str) -> Iterator[str]:
        pick = self._draws.pick
        yield pick(self._onsets) + pick(self._vowels)
        if self._draws.chance(0.5) or not ending:
            yield pick(self._onsets) + pick(self._vowels)
        if ending and ending[0] in "aeiou":
            yield pick(self._onsets)
        else:
            yield pick(self._codas)
        yield ending

"""The wordings of questions: how they refer to entities, and how they ask for facts.

If a relation has several wordings, one has its gap at the end, so that phrases can follow each other instead of
being nested ("the river on which the town in which he was born lies").
"""

from __future__ import annotations

#: How to refer to an entity by its relation to another entity.
REFERRED: dict[str, tuple[str, ...]] = {
    "author": ("the author of {}", "the writer of {}", "the person who wrote {}"),
    "director": ("the director of {}", "the person who directed {}"),
    "star": ("the star of {}", "the person who played the leading role in {}"),
    "score": ("the person who wrote the music for {}", "the composer of the music for {}"),
    "basis": ("the novel on which {} is based", "the novel from which {} was adapted", "the literary source of {}"),
    "composer": ("the composer of {}", "the person who composed {}"),
    "painter": ("the painter of {}", "the artist who painted {}"),
    "architect": ("the architect of {}", "the person who designed {}"),
    "publisher": ("the publisher of {}", "the publishing house that published {}"),
    "studio": ("the film studio that produced {}", "the studio behind {}"),
    "founder": ("the founder of {}", "the person who founded {}"),
    "birthplace": ("the birthplace of {}", "the town where {} was born", "the town in which {} was born"),
    "university": ("the university that {} attended", "the university where {} studied", "the alma mater of {}"),
    "spouse": ("the spouse of {}", "the person whom {} married"),
    "town": ("the town in which {} is located", "the town where {} is to be found", "the town that is home to {}"),
    "museum": ("the museum that owns {}", "the museum in which {} hangs"),
    "premiere": ("the town where {} was first performed", "the town that saw the first performance of {}"),
    "setting": (
        "the town in which {} is set",
        "the town where the story of {} takes place",
        "the town that is the setting of {}",
    ),
    "river": ("the river on which {} lies", "the river that flows through {}"),
    "country": ("the country in which {} lies", "the country that {} belongs to"),
    "source": (
        "the mountain on which {} rises",
        "the mountain where {} has its source",
        "the mountain that is the source of {}",
    ),
    "climber": ("the first person to climb {}", "the mountaineer who first climbed {}"),
    "namesake": ("the person after whom {} is named", "the namesake of {}"),
    "prize": ("the prize that {} received", "the prize that was awarded to {}"),
}

#: How to ask for a fact about an entity.
ASKED: dict[str, tuple[str, ...]] = {
    "birthplace": ("In which town was {} born?", "Where was {} born?", "What is the birthplace of {}?"),
    "born": ("When was {} born?", "What is the date of birth of {}?"),
    "university": (
        "Which university did {} attend?",
        "At which university did {} study?",
        "Which university was attended by {}?",
    ),
    "spouse": ("Whom did {} marry?", "Who was the spouse of {}?"),
    "prize": ("Which prize did {} receive?", "Which prize was awarded to {}?"),
    "nationality": ("What was the nationality of {}?",),
    "author": ("Who wrote {}?", "Who is the author of {}?"),
    "publisher": ("Which publishing house published {}?", "Who published {}?"),
    "setting": ("In which town is {} set?", "Which town is the setting of {}?"),
    "year": ("In which year was {} published?", "What is the year of publication of {}?"),
    "founder": ("Who founded {}?", "Who was the founder of {}?"),
    "founded": ("In which year was {} founded?", "When was {} founded?", "What is the founding year of {}?"),
    "town": ("In which town is {} based?", "Which town is the seat of {}?"),
    "population": (
        "How many inhabitants did {} have in 2011?",
        "What was the population of {} in 2011?",
        "What was the population in 2011 of {}?",
    ),
    "river": ("On which river does {} lie?", "Which river flows through {}?"),
    "country": ("In which country does {} lie?", "Which country includes {}?"),
    "mouth": (
        "Into which sea does {} flow?",
        "Into which body of water does {} empty?",
        "Which sea receives the waters of {}?",
    ),
    "length": ("How long is {}?", "What is the length of {}?"),
    "height": ("How high is {}?", "What is the height of {}?"),
    "climber": ("Who was the first person to climb {}?", "Who made the first ascent of {}?"),
    "capital": ("What is the capital of {}?",),
    "currency": ("What is the currency of {}?",),
    "language": ("What is the official language of {}?",),
    "first": ("In which year was {} first awarded?",),
}

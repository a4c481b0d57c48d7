"""``PatternGuesser``: predicts an agent's tool calls from patterns of calls, and from where their arguments come from.

In the spirit of PASTE (arXiv 2603.18897): the requests that agents get are diverse, but which calls follow which calls,
and which values flow from a result into an argument, comes again. Read the modules in this order:

=====================  =======================================================================================
``text``               finds values in a message, such as ids, dates and names; tells forms of values apart
``results``            takes a tool's result apart into values and records
``index``              every value of one conversation, with its sources; grows with the conversation
``memory``             what past conversations tell about tools and arguments: forms, constants, names
``composites``         lists and records that can be put together from the values of a conversation
``moment``             all candidates for an argument at one moment, with features
``argument_features``  features of the candidates for one argument of one tool
``argument_model``     chooses the values of all arguments of a call
``window_model``       chooses the tool, or a message to the user, and joins both: the most likely calls
``training``           learns from recorded conversations
``guesser``            ``PatternGuesser``, which puts everything together
=====================  =======================================================================================
"""

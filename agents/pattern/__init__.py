"""``PatternGuesser``: predicts an agent's tool calls from patterns of calls and from the sources of their arguments.

In the spirit of PASTE (arXiv 2603.18897): the requests that agents get are diverse, but the same calls follow each
other, and the same values flow from a result into an argument. Read the modules in this order:

=====================  =======================================================================================
``text``               finds values in a message, such as ids, dates and names; names the forms of values
``results``            splits a tool's result into values and records
``index``              every value of one conversation, with its sources; grows with the conversation
``memory``             counts from past conversations about tools and arguments: forms, constants, names
``composites``         builds lists and records from the values of a conversation
``moment``             all candidates for an argument at one moment, with features
``argument_features``  features of the candidates for one argument of one tool
``argument_model``     chooses the values of all arguments of a call
``window_model``       chooses the tool, or a message to the user, and with the arguments the likeliest calls
``training``           learns from recorded conversations
``guesser``            ``PatternGuesser``, which combines all of these
=====================  =======================================================================================
"""

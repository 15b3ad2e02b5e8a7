"""The verbs, each a function with its options; what they do lies in the modules beside this folder."""

"""The verbs: EM, its M-step and repairs, when it stops, how it is sped up, streams, and several fits side by side.

`starts` is where EM begins, `search` how the best of many mixtures is sought. It knows sources and the model. It must
not know estimators or the checks of their arguments (but for what `init_params` gives), warnings or messages.
"""

"""A workflow as a pure value: read, converted, its parameters found and set.

Nothing on this floor does I/O, reads a clock, or is random other than by a `random.Random` that it is given. A graph
is never changed in place: setting something in it gives a new one.

`definitions` says what each node class takes, `link_types` what the types of its links mean, `nodes` what a graph in
ComfyUI's API format looks like. `prompts` and
`fitting` treat single values: texts as ComfyUI's page sends them, and what somebody asks for as a node takes it.
`editor` turns a workflow as ComfyUI saves it into a graph, and `reading` gets either of them out of JSON. `search` and
`discovery` find what can be set in a graph (prompt, seed, size, ...), and `workflow` holds the graph with these
parameters and sets them. `links`, `loras`, `facts`, `pruning` and `mermaid` follow the graph's links: to insert LoRAs,
to tell what it needs and makes, to cut out what got no file, and to draw it.
"""

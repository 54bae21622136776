"""A workflow as a pure value: read, converted, its parameters found and set.

Nothing on this floor does I/O, reads a clock, or is random other than by a `random.Random` that it
is given. A graph is never changed in place: setting something in it gives a new one.

`definitions` says what each node class takes, `link_types` what the types of its links mean,
`nodes` what a graph in ComfyUI's API format looks like. `prompts` and `fitting` treat single
values: texts as ComfyUI's page sends them, and what somebody asks for as a node takes it.

`editor` turns a workflow as ComfyUI saves it into a graph, with `ui_file`, `ui_values` and
`ui_links`; `reading` gets either of them out of JSON. `links` is the one index of a graph's links.
Along it `search`, `makers` and `tracing` follow inputs back, `discovery` finds what can be set
(prompt, seed, size, ...), and `workflow` holds the graph with these parameters and sets them.
`paths` keeps what a caller sets inside ComfyUI's folders. `loras`, `facts`, `pruning` and `mermaid`
use the same index: to insert LoRAs, to tell what a graph needs and makes, to cut out what got no
file, and to draw it.
"""

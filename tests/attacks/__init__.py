"""The table of attacks: whatever a file, a workflow, a server, a user or a model sends, Open WebUI goes on for
everybody, and keys, files and other people's work stay out of reach.

Each row is an attack and the outcome that is required. The modules go by kinds:

| module | who attacks, and with what |
|---|---|
| `test_texts` | anybody, with texts that are slow to read |
| `test_paths` | a caller, with values that lead out of ComfyUI's folders |
| `test_rights` | a user, beyond their rights; what an ordinary user is told |
| `test_outputs` | a server, with files that a browser would run |
| `test_amounts` | a server, with outputs without number and files without end |
| `test_floods` | anybody, with more than anybody needs |
| `test_any_value` | anybody, with any value in any place |
| `test_pictures` | users and servers, with files that take minutes or gigabytes to read |
| `test_keys` | anybody, after keys |

`hostile` is a server that sends anything, `hostile_files` makes files, `house` is what Open WebUI offers to a tool,
and `monitor` tells how long the event loop stands still.
"""

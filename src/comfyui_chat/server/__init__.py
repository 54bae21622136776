"""One ComfyUI endpoint, HTTP and the shared websocket, in typed values.

`endpoint` is an address with the credential that belongs to it. `protocol` has the values that a
server's answers and frames become, and the functions that read them, `refusals` the errors of a
workflow that is refused; `record` is what this process
has seen of a server so far. `connection` is the websocket, shared by all prompts in flight.
`incoming` takes a file that comes, `http` is one exchange over HTTP with its bounds and faults,
`files` the routes for files, and `client` all others: `ComfyUIServer` is the whole server. `cloud`
has all of Comfy Cloud's exceptions. `pool` keeps one server for each endpoint and event loop; the
floors above begin with its `open_server`.

Nothing here knows of chats, or chooses what runs where.
"""

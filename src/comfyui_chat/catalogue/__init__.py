"""Which workflows and models there are, and which fit a request on a server.

`entries` gathers workflows from everywhere they may be - attached, pasted, saved on the server,
bundled - and finds one by its name. `choosing` takes what somebody wants (`Request`), and picks a
workflow and model files that this server has (`FittedWorkflow`). `listings` answers questions about
what there is: lists of workflows and models, one workflow described.

All of it depends on one server at a time, since what is installed differs from server to server.
"""

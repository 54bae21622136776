"""Everything that touches Open WebUI: the chat, its display, valves, methods for models.

A call comes in at `Tools` (tools), makes a `Chat` of what Open WebUI hands over (chat), resolves
both kinds of valves (settings), has the floors below do the work while a `Display` shows it in the
message (display), and goes out as a dictionary for the model (reports).

    releases      what differs between the releases of Open WebUI
    monitoring    jobs and servers, told to OpenTelemetry
    ollama        Open WebUI's Ollamas, sent off a graphics card that they share with ComfyUI
    references    what a model writes when it means a file of the chat: "2", "last", an id, a data URI
    display       status texts and previews in the message, shown live and never stored
    messages      which messages a chat has up to now, and which files they hold
    stored_files  a file that was made, as a message names it and its dialog shows it
    chat_files    what stands in the chat of a call, and what the call takes from there
    buttons       buttons under a result, which write the next message
    chat          the message of a call: where results are stored, and how a call ends in it
    first_start   what a chat says where no ComfyUI is set and none is found
    page_dialog   dialogs over the chat, in which the user points at something
    painting      masks that the user paints, now and again
    valves        what the administrator and each user can set
    settings      valves, rights and arguments resolved to what holds for one call
    reports       what the model is told of results and of servers
    jobs          check_job: jobs of earlier calls brought, cancelled, or told of
    tools         the methods that a model can call

`open_webui` is imported inside functions only, so that the file loads, and the command line works,
without it. What is imported is there, under the same names, in Open WebUI 0.9.6 to 0.12.4, but for
what `releases` says.
"""

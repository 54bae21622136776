"""From a request to finished files: planning, running and following jobs.

A request (what somebody wants) becomes a plan (prompts, ready to post), each prompt becomes a job
on a server, and what the jobs saved becomes files; several servers are used as one. The modules
follow one another so:

    owner     whose jobs they are: the mark in each prompt, and what this process remembers of jobs
    job       one prompt's life: `Job`, a pure reducer over events; how it stands, and how it ended
    monitor   who is told how jobs and servers fare
    fleet     several servers used as one: limits, queues, and which server will be done soonest
    follow    one prompt posted, and followed to its end or withdrawn
    inputs    the files of a call put into the workflow's inputs
    planning  a request bound to a workflow, as prompts within the nodes' ranges and the administrator's limits
    limits    those limits, read off a finished graph
    findings  what is found out about a prompt that is bound, once for all of one kind
    estimates how long a run will take, and what the user wants where that is long
    early_files  files fetched while their run is still under way
    options   what the runs of a call choose from and show, and what they leave
    make      all of this in turn for one call; a job that its server lost is run once more
    earlier   jobs of earlier calls found on the servers, and what they made brought

Whoever watches a run is a `ProgressListener`: a message in Open WebUI, or a terminal. Nothing on
this floor knows of chats.
"""

"""How fast the tool is, and how light on everybody else: ``uv run python -m tests.benchmark``.

One table. What is compared is measured side by side in one run, in turns, since machines differ and have other work to
do: each line gives the median, the spread and the ratio to the first of its group, and CPU time beside time where the
clock is too noisy. The stand-ins for ComfyUI draw nothing, so that only the clients differ; ``COMFYUI_TEST_URL`` puts a
real server in the place of the first one.

======================  =================================================================================
`charts`                drawings of what was measured, for docs/speed.md
`table`                 lines, groups of contenders measured in turns, and the table
`contenders`            what runs in a process of its own: the floor, this tool, the tool of an older commit
`beating`               how long an event loop does nothing else
`floor`                 the shortest client that can be written: one websocket, one POST, one GET
`servers`               stand-ins in processes of their own, with one picture ready for everything
`history`               how long a server itself took for its newest prompt
`in_webui`, `probe`     a real Open WebUI, and what measures inside its process
`overhead` (row 1)      a picture from call to result, without the server's own time
`storing` (row 1)       the same until it is stored in Open WebUI, against Open WebUI's own engine
`at_once` (row 3)       20, 200 and 1,000 calls at once over four servers
`chat` (rows 2, 4)      what a chat pays in a real Open WebUI, and when it sees something
`growth` (row 5)        large graphs and full servers
`several` (row 6)       servers of different speeds
`loading` (row 7)       executing the file, and what saving it costs
`files` (row 8)         large pictures and films
======================  =================================================================================
"""

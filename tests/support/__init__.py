"""What the tests stand on: a stand-in for ComfyUI, a real Open WebUI and its browser, a scripted model, recordings.

| module | what it is |
|---|---|
| `stand_in/` | a server that speaks ComfyUI's protocol as recorded, in two releases, and misbehaves on request |
| `open_webui`, `browser` | a real Open WebUI started for the tests, and Chromium on its page |
| `databases` | PostgreSQL and Redis of Debian, for several workers of Open WebUI |
| `collector` | what takes metrics and spans, as a monitoring does |
| `releases`, `older_pages` | a command that tries every Open WebUI in use; what its older pages do otherwise |
| `model_server`, `ollama`, `proxy` | a scripted model to chat with, an Ollama, a proxy that fails as it is told |
| `recorded/`, `conversion/`, `media/` | what real servers said, what ComfyUI's front end makes of workflows, files |
| `graphs`, `odd_graphs` | small graphs and where their parameters are; graphs that Hypothesis makes up |
| `pictures`, `samples` | small pictures, written and read; files of every kind |
| `gallery`, `templates` | a server with templates; a command that tries those of a real one |
| `runs`, `chats`, `command_line` | the tool at work: on servers, in chats of Open WebUI, as a command |
| `contract` | the methods and the errors that the tool promises |
| `watching`, `serving` | those who watch a run, and patience; small HTTP servers |
| `own_clock`, `ports` | a clock that waits for nobody, for tests of what happens when; ports that stay with a test |
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEDIA = Path(__file__).parent / "media"
RECORDED = Path(__file__).parent / "recorded"
SOURCE = (ROOT / "comfyui_tool.py").read_text(encoding="utf-8")

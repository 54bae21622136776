"""How much a hostile server makes: outputs without number.

What comes within the bounds is stored, what is beyond them is neither fetched nor listed, and the result and the
user's message say how much that is.
"""

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer
from tests.attacks.house import House, valves
from tests.attacks.table import told
from tests.support.pictures import png


async def test_of_twenty_thousand_outputs_a_hundred_are_fetched(home: House, server: HostileServer) -> None:
    server.outputs = {
        "1": {"images": [{"filename": f"{n}.png", "subfolder": "", "type": "output"} for n in range(20_000)]}
    }
    server.files["*"] = png()
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert server.views == len(home.stored) == tool.MOST_FILES_OF_CALL == 100
    notes = answer["adjusted"]
    assert "900 more files were left out, since one call brings 100" in notes
    assert "19000 more files stay in ComfyUI's output folder: of a run 1000 are brought" in notes
    assert home.page.texts[-1].endswith("19900 files left out")
    assert len(told(answer)) < 30_000


async def test_of_twenty_thousand_texts_a_hundred_are_stored(home: House, server: HostileServer) -> None:
    server.outputs = {"1": {"text": [f"a fox {n}" for n in range(20_000)]}}
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert len(home.stored) == 100
    assert "900 more files were left out, since one call brings 100" in answer["adjusted"]
    assert len(told(answer)) < 40_000

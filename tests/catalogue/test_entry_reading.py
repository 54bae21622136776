"""A saved workflow is read once as long as neither its file nor the server's definitions change."""

import pytest

import comfyui_tool as tool
from tests.support.runs import endpoint, save, small_graph
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("closed_servers")
FOX = tool.Entry("fox", "server", path="fox.json")


async def test_what_was_read_is_taken_again(comfy: StandIn) -> None:
    save(comfy, "fox.json", small_graph(comfy))
    async with tool.open_server(endpoint(comfy)) as server:
        first = await tool.read_entry(server, FOX)
        assert await tool.read_entry(server, FOX) is first
        fitted = await tool.fit_saved(server, FOX, None)
        assert (await tool.fit_saved(server, FOX, None)).workflow is fitted.workflow


async def test_a_file_that_was_changed_is_read_anew(comfy: StandIn) -> None:
    save(comfy, "fox.json", small_graph(comfy))
    async with tool.open_server(endpoint(comfy)) as server:
        before = (await tool.read_entry(server, FOX)).value("steps")
        save(comfy, "fox.json", comfy.example_graph(steps=before + 5))
        assert (await tool.read_entry(server, FOX)).value("steps") == before + 5


async def test_it_is_read_anew_when_the_definitions_were_asked_for_again(comfy: StandIn) -> None:
    save(comfy, "fox.json", small_graph(comfy))
    async with tool.open_server(endpoint(comfy)) as server:
        first = await tool.read_entry(server, FOX)
        server.forget()
        again = await tool.read_entry(server, FOX)
        assert again is not first
        assert again == first


async def test_a_model_that_another_call_names_is_not_taken_over(comfy: StandIn) -> None:
    save(comfy, "fox.json", small_graph(comfy))
    one, other = sorted(comfy.models["checkpoints"])[:2]
    async with tool.open_server(endpoint(comfy)) as server:
        for name in (one, other, one):
            fitted = await tool.fit_saved(server, FOX, tool.Argument(name, "The argument model"))
            assert fitted.model == name


async def test_no_more_than_some_are_remembered(comfy: StandIn) -> None:
    async with tool.open_server(endpoint(comfy)) as server:
        for number in range(tool.REMEMBERED_READ + 5):
            await tool.read_entry(server, tool.Entry(str(number), "user", small_graph(comfy)))
        assert len(tool._READ_BEFORE[server]) == tool.REMEMBERED_READ
        long = small_graph(comfy, text="x" * tool.MOST_READ_CHARACTERS)
        await tool.read_entry(server, tool.Entry("long", "user", long))
        assert ("long", "") not in tool._READ_BEFORE[server]


async def test_what_is_very_long_is_not_kept(comfy: StandIn) -> None:
    save(comfy, "fox.json", comfy.example_graph(text="a" * tool.MOST_READ_CHARACTERS))
    async with tool.open_server(endpoint(comfy)) as server:
        first = await tool.read_entry(server, FOX)
        assert await tool.read_entry(server, FOX) is not first

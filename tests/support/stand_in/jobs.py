"""The job routes of the newer release: one view of queue and history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .engine import Engine, Item

SHOWABLE = ("images", "audio", "video", "gifs", "3d")


def cancel(engine: Engine, job_id: str) -> bool:
    return engine.delete(job_id) or engine.interrupt(job_id)


def job(engine: Engine, job_id: str, whole: bool = False) -> dict[str, Any] | None:
    return next((found for found in jobs(engine, whole) if found["id"] == job_id), None)


def jobs(engine: Engine, whole: bool = False) -> list[dict[str, Any]]:
    """All jobs, the newest first."""
    found = [queued(item, "in_progress") for item in engine.running.values()]
    found += [queued(item, "pending") for item in engine.pending]
    found += [finished(item, whole) for item in engine.history.values()]
    return sorted(found, key=lambda entry: entry["create_time"], reverse=True)


def jobs_page(engine: Engine, query: Mapping[str, str]) -> dict[str, Any]:
    wanted = query["status"].split(",") if query.get("status") else None
    found = [entry for entry in jobs(engine) if wanted is None or entry["status"] in wanted]
    if query.get("sort_order") == "asc":
        found.reverse()
    offset = int(query.get("offset", 0))
    limit = int(query["limit"]) if "limit" in query else None
    page = found[offset:] if limit is None else found[offset : offset + limit]
    more = offset + len(page) < len(found)
    return {"jobs": page, "pagination": {"offset": offset, "limit": limit, "total": len(found), "has_more": more}}


def queued(item: Item, status: str) -> dict[str, Any]:
    return {
        "id": item[1],
        "status": status,
        "priority": item[0],
        "create_time": item[3]["create_time"],
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }


def finished(item: dict[str, Any], whole: bool) -> dict[str, Any]:
    number, prompt_id, graph, extra, _ = item["prompt"]
    messages = item["status"]["messages"]
    kinds = [kind for kind, _ in messages]
    status = "completed" if item["status"]["completed"] else "failed"
    if "execution_interrupted" in kinds:
        status = "cancelled"
    shown = [
        {**file, "nodeId": node, "mediaType": media}
        for node, outputs in item["outputs"].items()
        for media, files in outputs.items()
        if media in SHOWABLE
        for file in files
    ]
    counted = sum(
        len(files) for outputs in item["outputs"].values() for key, files in outputs.items() if key != "animated"
    )
    result: dict[str, Any] = {
        "id": prompt_id,
        "status": status,
        "priority": number,
        "create_time": extra["create_time"],
        "execution_start_time": messages[0][1]["timestamp"],
        "execution_end_time": messages[-1][1]["timestamp"],
        "outputs_count": counted,
        "previewable_outputs_count": len(shown),
    }
    if "execution_error" in kinds:
        result["execution_error"] = messages[kinds.index("execution_error")][1]
    workflow = extra.get("extra_pnginfo", {}).get("workflow") or {}
    if "id" in workflow:
        result["workflow_id"] = workflow["id"]
    if shown:
        result["preview_output"] = shown[-1]
    if whole:
        result |= {"outputs": item["outputs"], "execution_status": item["status"]}
        result["workflow"] = {"prompt": graph, "extra_data": extra}
    return result

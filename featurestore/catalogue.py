"""The catalogue as documents: the page docs/features.md, and the Feast objects in short, as the golden file holds them."""

from __future__ import annotations

from typing import Any

from contracts.features import (
    CATALOGUE_FINGERPRINT,
    ENTITY_KEYS,
    FEATURES,
    VIEWS,
    Feature,
    View,
    features_of,
)
from contracts.request_features import REQUEST_FEATURES
from contracts.windows import WINDOWS, Hop

_WRITERS = {
    "stream": "the stream worker, seconds after each event; recomputed by the lake on the snapshot grid",
    "batch": "the lake, put online by `rd360 features materialize`",
}
_HOPS = {Hop.FIVE_MINUTES: "5 minutes", Hop.HOUR: "1 hour", Hop.DAY: "the store-local day"}


def markdown() -> str:
    """The page docs/features.md: every view and feature, generated from `contracts/features.py`."""
    parts = [
        "# Features",
        "Generated from `contracts/features.py` by `./rd360 features show --markdown > docs/features.md`; a test holds the two "
        f"together. Fingerprint of this catalogue: `{CATALOGUE_FINGERPRINT}`.",
        "Every row also has `as_of_ms` (the event time for which it was computed, ms since the epoch, UTC), `source_offset` (the "
        "Kafka offset of the last event in it, -1 where it was not made from a stream) and `fingerprint`. A null is a value that "
        "is not known; a reader then uses the default, if there is one.",
        "Online, a row is one value in the hash of its key: Feast's client reads features by name, as from any store, where this "
        "repository is on its path (`online_store: type: featurestore.row_store.RowOnlineStore`); Feast's servers in other "
        "languages do not. A Redis of your own keeps rows in a third less memory with `hash-max-listpack-value 1024`.",
        _windows(),
    ]
    parts += [_view(view) for view in VIEWS.values()]
    parts.append(_at_request())
    return "\n\n".join(parts) + "\n"


def snapshot() -> dict[str, Any]:
    """What Feast is told, in short: entities, views and fields with type and tags, as plain values."""
    from featurestore.definitions import ENTITIES, FEATURE_VIEWS  # Feast takes seconds to import, the page needs none of it

    return {
        "fingerprint": CATALOGUE_FINGERPRINT,
        "entities": {entity.name: entity.join_key for entity in ENTITIES},
        "views": {
            name: {
                "entities": view.entities,
                "table": view.batch_source.name if view.batch_source else None,
                "look_back_seconds": view.ttl.total_seconds() if view.ttl else 0,
                "tags": view.tags,
                "fields": {field.name: {"type": str(field.dtype), **field.tags} for field in view.features},
            }
            for name, view in FEATURE_VIEWS.items()
        },
    }


def _windows() -> str:
    lines = ["## Windows", "Exact at the head, rounded down at the tail to the window's hop.", ""]
    lines += ["| window | hop | covers |", "|---|---|---|"]
    for window in WINDOWS.values():
        whole = f"the running hop and the {window.hops} before it" if window.hops else "the running hop"
        lines.append(f"| {window.name} | {_HOPS[window.hop]} | {whole} |")
    return "\n".join(lines)


def _at_request() -> str:
    lines = [
        "## When asked",
        "These change from instant to instant, so that no row holds them. `contracts.request_features` makes them of the rows "
        "above, for training, for serving and for `./rd360 features show --store S --product P`. A null is not known.",
        "",
        "| feature | unit | made of | why |",
        "|---|---|---|---|",
    ]
    return "\n".join(lines + [f"| `{f.name}` | {f.unit} | {f.made_of} | {f.why} |" for f in REQUEST_FEATURES])


def _view(view: View) -> str:
    keys = ", ".join(f"`{ENTITY_KEYS[entity]}`" for entity in view.entities)
    lines = [
        f"## {view.name}",
        f"{view.rows[0].upper()}{view.rows[1:]}. Key: {keys}. Written by {_WRITERS[view.writer]}. Offline table: `{view.table}`.",
        "",
        "| feature | type | unit | window | default | why |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_row(feature) for feature in features_of(view.name)])


def _row(feature: Feature) -> str:
    default = "" if feature.default is None else f"`{feature.default!r}`"
    return f"| `{feature.name}` | {feature.dtype} | {feature.unit} | {feature.window or ''} | {default} | {feature.why} |"


def overview() -> str:
    """The catalogue as one Markdown table, one line per feature, as the README has it."""
    rows = [f"| `{feature.name}` | {feature.view} | {feature.unit} | {feature.why} |" for feature in FEATURES]
    return "\n".join(["| feature | view | unit | why |", "|---|---|---|---|", *rows])

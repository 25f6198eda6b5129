"""The Library: every paper behind the Lab on a card, by topic, with a way to run it and a way to read it."""

from __future__ import annotations

from html import escape

import streamlit as st

from app import state, theme
from app.results.papers import (
    Baseline,
    Row,
    Way,
    address,
    beside,
    find,
    library,
    original,
    reference,
    spelled,
    status,
    ways,
)
from app.text import library as text
from kdcore.contracts.access import Access
from kdcore.spec.presets import grants

MARKS = {"runs here": "●", "not implemented": "○", "reading card": "❏"}


def style() -> str:
    """How cards look: the theme's own colours, and ours for what runs."""
    return f"""<style>
    .card {{ border: 1px solid rgba(128,128,128,.35); border-radius: .6rem; }}
    .card {{ padding: .7rem 1rem; margin-bottom: .6rem; }}
    .topic {{ margin: 1.2rem 0 .5rem; padding: 0; font-size: 1.25rem; }}
    .card h3 {{ margin: 0 0 .2rem; padding: 0; font-size: 1.1rem; line-height: 1.35; }}
    .card p {{ margin: .3rem 0 0; font-size: 1rem; line-height: 1.5; overflow-wrap: anywhere; }}
    .card .facts {{ opacity: .8; }}
    .card .mark {{ font-weight: 600; white-space: nowrap; }}
    .card summary {{ margin-top: .3rem; cursor: pointer; }}
    .card a {{ color: inherit; }}
    .card a.mark {{ text-decoration: underline; text-decoration-color: {theme.GOOD["dark"]};
        text-decoration-thickness: .2em; text-underline-offset: .2em; }}
    </style>"""


def badge(row: Row | Baseline) -> str:
    """Whether it runs here, every way to run it, and where to read it."""
    word, found = status(row), ways(row)
    told = [f'<span class="mark">{MARKS[word]} {text.STATUSES[word]}</span>']
    if found:
        told.append(f"{text.RUN}: {', '.join(link(way, what) for way, what in found.items())}")
    read = f'<a href="{escape(address(row))}" target="_blank" rel="noopener">{text.READ}</a>'
    return " · ".join([*told, read])


def link(way: Way, what: str) -> str:
    """The way to what runs a row."""
    if way == "method":
        return f"{anchor(f'./?method={what}', text.IN_LAB)}, {anchor(f'./methods?method={what}', text.CURVES)}"
    if way == "source":
        return anchor(f"./blackbox?access={granted(what)}&preset={what}", text.ON_BLACK_BOX)
    if way == "section":
        return anchor(f"./inspector?section={what}", f"{text.IN_INSPECTOR} ({what.capitalize()})")
    return f"{text.COMMAND} <code>{escape(what)}</code>"


def anchor(address: str, label: str) -> str:
    """A link within the product."""
    return f'<a class="mark" href="{escape(address)}" target="_self">{escape(label)}</a>'


def granted(preset: str) -> Access:
    """The least that a teacher must tell for a preset."""
    levels: tuple[Access, ...] = ("probabilities", "logits", "white_box")
    return next(level for level in levels if grants(preset, level))


def paragraph(name: str, said: str) -> str:
    """One labelled line of a card."""
    return f"<p><b>{name}.</b> {escape(said)}</p>"


def facts(row: Row) -> str:
    """Authors, venue and year as far as they are known, topic and type."""
    kind = text.KINDS[row.kind] + (f" ({row.kind_note})" if row.kind_note else "")
    return " · ".join(filter(None, (reference(row), library().tracks[row.track], kind)))


def details(row: Row | Baseline) -> str:
    """What only some readers need, folded away: the formula, what to look at, what is missing, how it was checked."""
    shown = "" if row.shows == "card" else paragraph(text.SHOWN, spelled(row.shows))
    told = [paragraph(text.FORMULA, spelled(row.mechanism)), shown]
    if isinstance(row, Row):
        sure = text.CONFIDENCES[row.confidence] + (f" ({row.confidence_note})" if row.confidence_note else "")
        told.append(paragraph(text.CONFIDENCE, f"{sure}. {text.NUMERIC if row.identity else ''}".strip()))
    if row.name:
        told.append(f"<p><b>{text.NAME}.</b> <code>{escape(row.name)}</code></p>")
    return f"<details><summary>{text.DETAILS}</summary>{''.join(told)}</details>"


def card(row: Row) -> str:
    """One paper of the register."""
    alias = " · ".join(filter(None, (row.alias, None if row.note == reference(row) else row.note)))
    same = paragraph(text.MISSING, text.SAME.format(title=original(row).title)) if row.same_as else ""
    return f"""<article class="card" id="row-{row.id}">
      <h3>{escape(row.title)}{f" ({escape(alias)})" if alias else ""}</h3>
      <p class="facts">{escape(facts(row))}</p><p>{escape(row.says)}</p><p>{badge(row)}</p>{here(row)}
      {same or details(row)}</article>"""


def here(row: Row | Baseline) -> str:
    """What stands in the way of running it, where there is more to say than that it does not run."""
    return paragraph(text.MISSING, row.here) if row.here else ""


def baseline(row: Baseline) -> str:
    """A method that the reading list does not hold."""
    return f"""<article class="card"><h3>{escape(row.title)}</h3>
      <p class="facts">{escape(row.paper)}</p><p>{escape(row.says)}</p><p>{badge(row)}</p>{here(row)}
      {details(row)}</article>"""


def legend() -> None:
    """How to read a card's formula."""
    with st.expander(text.NOTATION, icon=":material/help:", key="legend"):
        panels = (told.partition(":") for told in library().panels.values())
        st.markdown(
            text.NOTATION_TABLE
            + "\n".join(f"| {sign} | {meaning} |" for sign, meaning in library().notation)
            + text.PANELS_TABLE
            + "\n".join(f"| {name} | {what.strip()} |" for name, _, what in panels)
            + text.CHECKS_LIST
            + "\n".join(f"- **{text.CONFIDENCES[one]}**: {what}" for one, what in text.CONFIDENCE_MEANINGS.items())
        )


def filters() -> tuple[list[Row], list[Baseline]]:
    """The rows that were asked for, and what stands beside them; what was asked stands in the URL."""
    tracks = library().tracks
    sought = st.text_input(
        text.SEARCH, type="search", key="q", bind="query-params", placeholder=text.PLACEHOLDER, live=True
    )
    topics = st.pills(
        text.MAP, list(tracks), format_func=tracks.__getitem__, selection_mode="multi",
        wrap=True, key="track", bind="query-params", help=text.MAP_HELP,
    )  # fmt: skip
    with st.expander(text.FILTERS, icon=":material/tune:", key="filters"):
        statuses = _pills(text.STATUS, list(text.STATUSES), "status")
        kinds = _pills(text.KIND, list(text.KINDS), "kind")
        checked = _pills(text.CONFIDENCE, list(text.CONFIDENCES.values()), "checked")
    confidence = [code for code, name in text.CONFIDENCES.items() if name in checked or code in _older("confidence")]
    found = find(sought or "", kinds=kinds, tracks=topics, confidence=confidence, statuses=statuses)
    unrated = topics or confidence or (kinds and "method" not in kinds)  # baselines are methods and have no more facts
    return found, [] if unrated else beside(sought or "", statuses=statuses)


def _pills(label: str, names: list[str], key: str) -> list[str]:
    """Some of several; the link keeps them as they read here."""
    return st.pills(label, names, selection_mode="multi", wrap=True, key=key, bind="query-params")


def _older(key: str) -> list[str]:
    """What a link of before asks for."""
    return st.query_params.get_all(key)


def topics(rows: list[Row]) -> str:
    """The cards, topic by topic."""
    told = []
    for track, name in library().tracks.items():
        own = [row for row in rows if row.track == track]
        if own:
            count = text.found(sum(row.same_as is None for row in own))
            told.append(f'<h2 class="topic">{escape(name)} · {count}</h2>{"".join(map(card, own))}')
    return "".join(told)


def page() -> None:
    """Search and map on top, cards below, and last what the reading list does not hold."""
    st.header(text.TITLE, anchor=False)
    st.markdown(text.INTRODUCTION)
    found, others = filters()
    st.caption(text.found(sum(row.same_as is None for row in found)))
    st.html(style() + topics(found))
    if not found and not others:
        st.info(text.NOTHING)
    legend()
    if others:
        st.subheader(text.BASELINES, anchor=False)
        st.markdown(text.BASELINES_SAY)
        st.html("".join(baseline(row) for row in others))


state.arrive("library")
page()

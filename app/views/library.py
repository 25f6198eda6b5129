"""The Library: every paper behind the Lab, and what of it runs here."""

from __future__ import annotations

from html import escape

import streamlit as st

from app import state, theme
from app.results.papers import CONFIDENCE, WAVES, Baseline, Row, Way, beside, find, library, papers, status, ways
from kdcore.contracts.access import Access
from kdcore.spec.presets import grants

KINDS = ("method", "language method", "diagnostic", "data", "reading card")
STATUSES = ("runs here", "not implemented", "reading card")
MARKS = {"runs here": "●", "not implemented": "○", "reading card": "❏"}


def style() -> str:
    """How cards look: the theme's own colours, and ours for what runs."""
    return f"""<style>
    .card {{ border: 1px solid rgba(128,128,128,.35); border-radius: .6rem; }}
    .card {{ padding: .7rem 1rem; margin-bottom: .6rem; }}
    .card h3 {{ margin: 0 0 .2rem; padding: 0; font-size: 1.1rem; line-height: 1.35; }}
    .card p {{ margin: .3rem 0 0; font-size: 1rem; line-height: 1.5; overflow-wrap: anywhere; }}
    .card .facts {{ opacity: .8; }}
    .card .mark {{ font-weight: 600; white-space: nowrap; }}
    .card a {{ color: inherit; }}
    .card a.mark {{ text-decoration: underline; text-decoration-color: {theme.GOOD["dark"]};
        text-decoration-thickness: .2em; text-underline-offset: .2em; }}
    </style>"""


def badge(row: Row | Baseline) -> str:
    """Whether it runs here, with every way there."""
    word, links = status(row), [link(way, what) for way, what in ways(row).items()]
    return " · ".join([f'<span class="mark">{MARKS[word]} {word}</span>', *links])


def link(way: Way, what: str) -> str:
    """The way to what runs a row."""
    if way == "method":
        return (
            f"{anchor(f'./?method={what}', 'open in the Lab')} · {anchor(f'./methods?method={what}', 'loss and knobs')}"
        )
    if way == "source":
        return anchor(f"./blackbox?access={granted(what)}&preset={what}", f"open source {what} on the Black box page")
    if way == "section":
        return anchor(f"./inspector?section={what}", f"open the Inspector, section {what.capitalize()}")
    return f"<code>{escape(what)}</code>"


def anchor(address: str, label: str) -> str:
    """A link within the product."""
    return f'<a class="mark" href="{escape(address)}" target="_self">{escape(label)}</a>'


def granted(preset: str) -> Access:
    """The least that a teacher must tell for a preset."""
    levels: tuple[Access, ...] = ("probabilities", "logits", "white_box")
    return next(level for level in levels if grants(preset, level))


def paragraph(name: str, text: str) -> str:
    """One labelled line of a card."""
    return f"<p><b>{name}.</b> {escape(text)}</p>"


def facts(row: Row) -> str:
    """Track, kind, wave and confidence in words."""
    kind = row.kind + (f" ({row.kind_note})" if row.kind_note else "")
    built = f"{kind}, {WAVES[row.wave]}" if row.wave else kind
    sure = f"confidence {row.confidence}" + (f" {row.confidence_note}" if row.confidence_note else "")
    checked = " · an identity of it was checked numerically" if row.identity else ""
    return f"{library().tracks[row.track]} · {built} · {sure}{checked}"


def card(row: Row) -> str:
    """One row of the register."""
    names = [f"<code>{escape(row.name)}</code>" if row.name else "", escape(row.alias or "")]
    note = f" ({escape(row.note)})" if row.note else ""
    said = f"See row {row.same_as}." if row.same_as else row.mechanism
    shown = "What this dashboard can tell about it is on this card." if row.shows == "card" else row.shows
    return f"""<article class="card" id="row-{row.id}">
      <h3>{escape(row.id)} · {" · ".join([*filter(None, names), escape(row.title)])}{note}</h3>
      <p class="facts">{escape(facts(row))} · {badge(row)}</p>
      {paragraph("Mechanism", said)}{"" if row.same_as else paragraph("What the Lab shows, or will", shown)}
      {here(row)}</article>"""


def here(row: Row | Baseline) -> str:
    """What stands in the way of running it, where there is more to say than that it does not run."""
    return paragraph("Here", row.here) if row.here else ""


def baseline(row: Baseline) -> str:
    """A method that the reading list does not hold."""
    return f"""<article class="card"><h3><code>{row.name}</code> · {escape(row.title)}</h3>
      <p class="facts">{escape(row.paper)} · {badge(row)}</p>
      {paragraph("Mechanism", row.mechanism)}{paragraph("What the Lab shows, or will", row.shows)}
      {here(row)}</article>"""


def legend() -> None:
    """How to read a row."""
    with st.expander("How to read a row", icon=":material/help:", key="legend"):
        st.markdown(
            "**Confidence** says how well we know the method:\n\n"
            + "\n".join(f"- **{letter}**: {meaning}" for letter, meaning in CONFIDENCE.items())
            + "\n\n**Notation**, the same in every row:\n\n| sign | meaning |\n|---|---|\n"
            + "\n".join(f"| {sign} | {meaning} |" for sign, meaning in library().notation)
            + "\n\n**Panels** that rows point at:\n\n| panel | what it computes |\n|---|---|\n"
            + "\n".join(f"| {name} | {text} |" for name, text in library().panels.items())
        )


def filters() -> tuple[list[Row], list[Baseline]]:
    """The rows that were asked for, and what stands beside them; what was asked stands in the URL."""
    text = st.text_input(
        "Search", type="search", key="q", bind="query-params", placeholder="A word, a method, a paper …", live=True
    )
    with st.container(horizontal=True):
        statuses = st.pills(
            "Can I run it?", STATUSES, selection_mode="multi", wrap=True, key="status", bind="query-params"
        )
        kinds = st.pills("Kind", KINDS, selection_mode="multi", wrap=True, key="kind", bind="query-params")
        confidence = st.pills(
            "Confidence", list(CONFIDENCE), selection_mode="multi", wrap=True, key="confidence", bind="query-params"
        )
    tracks = st.multiselect(
        "Track", list(library().tracks), format_func=library().tracks.__getitem__, key="track", bind="query-params"
    )
    found = find(text or "", kinds=kinds, tracks=tracks, confidence=confidence, statuses=statuses)
    unrated = tracks or confidence or (kinds and "method" not in kinds)  # baselines are methods and have no more facts
    return found, [] if unrated else beside(text or "", statuses=statuses)


def page() -> None:
    """Search on top, rows below, and last what the reading list does not hold."""
    everything = library()
    runs, more = (sum(status(row) == "runs here" for row in part) for part in (everything.rows, everything.baselines))
    absent = sum(status(row) == "not implemented" for row in everything.rows)
    st.header("Library", anchor=False)
    st.markdown(
        f"{len(everything.rows)} rows stand for {papers(everything.rows)} papers on knowledge distillation. {runs} of "
        f"them run here, {absent} are not implemented, and {len(everything.rows) - runs - absent} are reading cards: "
        f"summaries with nothing to run. Of {len(everything.baselines)} baselines and related methods, listed below "
        f"them, {more} run here."
    )
    legend()
    found, others = filters()
    st.caption(f"{len(found)} of {len(everything.rows)} rows")
    st.html(style() + "".join(card(row) for row in found))
    if not found and not others:
        st.info("Nothing matches all of this. Take away a filter or a word.")
    if others:
        st.subheader("Baselines and kin", anchor=False)
        st.markdown("What runs are compared with, and relatives of the rows. They come besides the reading list.")
        st.html("".join(baseline(row) for row in others))


state.arrive("library")
page()

"""A page full of faults, one of each kind that the walk must find, beside controls that are alive.

Streamlit runs this file as a script; the test serves it as a module.
"""

from __future__ import annotations

import streamlit as st

FAULTS = """<style>
.planted { position: relative; height: 3rem; width: 20rem; }
.planted span { position: absolute; left: 0; top: 0; }
.planted-cut { width: 6rem; overflow: hidden; white-space: nowrap; }
.planted-wide { margin-left: 60vw; width: 50vw; white-space: nowrap; }
.planted-pale { color: #aaaaaa; background: #ffffff; }
</style>
<div class="planted"><span>one text lies here</span><span>another on top of it</span></div>
<div class="planted-cut">this sentence is longer than its box</div>
<div class="planted-wide">this one begins on the page, and its long sentence goes on and on until it stands far
beyond the right edge</div>
<p class="planted-pale">too pale to read</p>
<h4>a heading that skips two levels</h4>
<img src="/media/absent.png" alt="absent" width="10" height="10">"""


@st.fragment
def part() -> None:
    """A dead button: what it changes stands outside the fragment. A living one beside it."""
    st.button("Dead", on_click=_count, args=("outside",), help="A tooltip is no answer")
    st.button("Alive inside", on_click=_count, args=("inside",))
    st.selectbox("Dead choice", ["one", "two"])
    st.write(f"inside: {st.session_state.get('inside', 0)}")


def _count(name: str) -> None:
    st.session_state[name] = st.session_state.get(name, 0) + 1


def _break() -> None:
    raise ZeroDivisionError("planted")


def page() -> None:
    """All of it."""
    st.title("Planted faults")
    part()
    st.write(f"outside: {st.session_state.get('outside', 0)}")
    st.button("Alive", on_click=_count, args=("outside",))
    st.button("Breaks", on_click=_break)
    picked = st.selectbox("Alive choice", ["three", "four"])
    number = st.number_input("Alive number", 0, 10, 10)
    slid = st.slider("Alive slider", 0, 10, 10)
    st.write(f"picked {picked}, {number}, {slid}, {st.checkbox('Alive box')}")
    st.download_button("Alive file", "text", "file.txt")
    with st.expander("Alive expander"):
        st.text_input("Dead text")
    st.html(FAULTS)


if __name__ == "__main__":
    page()
else:
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    app = st.App(__file__, routes=[Route("/api/health", lambda _: PlainTextResponse("ok"))])

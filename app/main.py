"""The Lab's pages and how to get from one to the other."""

from pathlib import Path

import streamlit as st

VIEWS = Path(__file__).parent / "views"
LOGO = Path(__file__).parent.parent / "assets" / "logo.svg"

st.set_page_config(page_title="KD Lab", page_icon=str(LOGO), layout="wide")
st.logo(str(LOGO), size="large")
page = st.navigation(
    [
        st.Page(VIEWS / "lab.py", title="Lab", icon=":material/science:", default=True),
        st.Page(VIEWS / "runs.py", title="Runs", icon=":material/list_alt:", url_path="runs"),
        st.Page(VIEWS / "library.py", title="Library", icon=":material/menu_book:", url_path="library"),
    ],
    position="top",
)
page.run()

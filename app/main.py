"""The Lab's pages and how to get from one to the other."""

import streamlit as st

from app.components import keyboard_reach
from app.paths import APP, ASSETS
from app.text.phrases import verbatim
from kdcore.errors import BadInput
from kdcore.spec.catalogue import catalogue

VIEWS = APP / "views"
LOGO = ASSETS / "logo.svg"

st.set_page_config(page_title="KD Lab", page_icon=str(LOGO), layout="wide")
keyboard_reach.everywhere()
st.logo(str(LOGO), size="large")
page = st.navigation(
    [
        st.Page(VIEWS / "lab.py", title="Lab", icon=":material/science:", default=True),
        st.Page(VIEWS / "blackbox.py", title="Black box", icon=":material/deployed_code:", url_path="blackbox"),
        st.Page(VIEWS / "inspector.py", title="Inspector", icon=":material/troubleshoot:", url_path="inspector"),
        st.Page(VIEWS / "methods.py", title="Methods", icon=":material/function:", url_path="methods"),
        st.Page(VIEWS / "runs.py", title="Runs", icon=":material/list_alt:", url_path="runs"),
        st.Page(VIEWS / "library.py", title="Library", icon=":material/menu_book:", url_path="library"),
    ],
    position="top",
)
if not catalogue.cache_info().currsize:
    with st.spinner("Building the catalogue of data, networks and methods; only needed once after an update …"):
        catalogue()
try:
    page.run()
except BadInput as error:
    st.error(verbatim(error))

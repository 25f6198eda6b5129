"""The Lab's pages and how to get from one to the other."""

import streamlit as st

from app import reach
from app.paths import APP, ASSETS
from app.words import verbatim
from kdcore.catalogue import catalogue
from kdcore.errors import BadInput

VIEWS = APP / "views"
LOGO = ASSETS / "logo.svg"
# An empty sidebar is the last page's, of which Streamlit forgets to let go; on a narrow screen it holds the pages.
STYLE = """<style>
.stMainBlockContainer { padding: 4.5rem clamp(1rem, 2.5vw, 3rem) 3rem; }
.stSidebar:not(:has(.stElementContainer, [data-testid=stSidebarNav])) { display: none; }
.stApp [data-testid=stCaptionContainer] { opacity: .8; }
.katex-display > .katex { white-space: normal; } /* a long equation goes on in the next line, as one in a text does */
.katex-display .base { margin-block: .15em; }
.stApp [data-testid=stSliderThumbValue] { color: inherit; }
.stApp .token.string { color: color-mix(in srgb, #09ab3b 55%, currentColor); } /* as it comes: 2.9 to 1 on white */
.stApp .token:is(.keyword, .function, .class-name) { color: color-mix(in srgb, #1c83e1 70%, currentColor); }
.stApp .token.number { color: color-mix(in srgb, #29b09d 50%, currentColor); }
.stApp .token.boolean { color: color-mix(in srgb, #21c354 50%, currentColor); }
.stApp .token.comment { color: color-mix(in srgb, currentColor 75%, transparent); }
.stSidebar .katex-display > .katex { font-size: .9em; }
.stApp [data-testid=stButtonGroup] button:is([aria-checked=true], [aria-pressed=true]) { color: inherit; }
</style>"""

st.set_page_config(page_title="KD Lab", page_icon=str(LOGO), layout="wide")
st.html(STYLE)
reach.everywhere()
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
    with st.spinner("Getting to know data, networks and methods; this is done once after an update …"):
        catalogue()
try:
    page.run()
except BadInput as error:
    st.error(verbatim(error))

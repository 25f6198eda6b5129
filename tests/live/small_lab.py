"""The smallest page with the live view: a run, a view from the link, a button that reruns everything."""

import streamlit as st

from app.live import Setting, live
from app.live.tokens import COOKIE, issue
from app.panels import View, panels

st.set_page_config(layout="wide")
query = st.query_params
view = View.model_validate({name: query[name] for name in ("temperature", "sample", "at") if name in query})
token = issue(st.context.cookies.get(COOKIE, ""))
wanted = query.get("panels", ",".join(panels())).split(",")
if "gone" in query:
    st.write("Nothing to see")
    st.stop()
run = st.text_input("Run", query["run"])
settings = [Setting("schedule.lr", "Learning rate", 0.05, 1e-5, 10.0)]
bar = live("transport", run, view=view, token=token, key="bar", settings=settings)
st.button("Again")
st.session_state.count = st.session_state.get("count", 0) + 1
st.markdown(f"Rerun {st.session_state.count}")
grid = live("panels", run, view=view, token=token, key="grid", panels=wanted)
for seen in (bar, grid):
    if seen.view:
        query.update({name: str(value) for name, value in seen.view.items() if value is not None and name != "run"})

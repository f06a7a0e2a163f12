"""One problem of a run as one HTML page that needs no network.

reading.py   which model reads the samples, and with what before them
data.py      what the page shows, as plain JSON
html.py      that JSON, page.html, page.css and the scripts (parts.js, chart.js, page.js) in one text
"""

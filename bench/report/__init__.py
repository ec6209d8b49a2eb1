"""``bench report``: leaderboards and runs as one static HTML file.

`content` gathers what the page says as plain data, `page` writes it. ``page.html.j2``, ``page.css``
and ``page.js`` are the page's own text, look and behaviour.
"""

"""Charts: pure functions from evidence to SVG with title, caption, alt text and the table behind them."""

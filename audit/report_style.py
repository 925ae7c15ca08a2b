"""How a report looks: one style sheet within the page, light, dark, narrow and printed."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark;
  --page: #fbfbf9; --card: #ffffff; --ink: #1d2321; --soft: #5b6662; --line: #dde2df; --bar: #2a6f7f; --bad: #a3312a;
  --good: #2f6b45; --kind0: #2a6f7f; --kind1: #d08a2e; --kind2: #7a5aa0; --kind3: #4f9d69; --kind4: #b5475d; --kind5: #7d8986; }
@media (prefers-color-scheme: dark) { :root {
  --page: #15191a; --card: #1d2325; --ink: #e6ebe9; --soft: #9fabaa; --line: #343d3f; --bar: #5fb3c4; --bad: #f0847b;
  --good: #7fcb9b; --kind0: #5fb3c4; --kind1: #e0a757; --kind2: #b096d8; --kind3: #79c492; --kind4: #e08398;
  --kind5: #a3afac; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 68ch; } .soft, caption, figcaption { color: var(--soft); } .soft { font-size: .92rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem; margin: 1.25rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.4rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0; padding: 0; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem .9rem; }
.figures dt { color: var(--soft); font-size: .85rem; } .figures dd { margin: 0; font-size: 1.45rem; font-weight: 650; }
.bad { color: var(--bad); } .good { color: var(--good); }
figure { margin: .75rem 0; } svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--ink); font-size: 13px; dominant-baseline: middle; } svg .number { fill: var(--soft); font-size: 12px; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; dominant-baseline: auto; }
svg .axis { stroke: var(--soft); } svg .grid { stroke: var(--line); } svg .bar { fill: var(--bar); }
.kind0 { fill: var(--kind0); background: var(--kind0); } .kind1 { fill: var(--kind1); background: var(--kind1); }
.kind2 { fill: var(--kind2); background: var(--kind2); } .kind3 { fill: var(--kind3); background: var(--kind3); }
.kind4 { fill: var(--kind4); background: var(--kind4); } .kind5 { fill: var(--kind5); background: var(--kind5); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; margin: .5rem 0; font-size: .9rem; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem; vertical-align: -1px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .5rem 0; }
caption { text-align: left; padding-bottom: .25rem; } th, td { text-align: left; padding: .35rem .6rem .35rem 0;
  vertical-align: top; border-bottom: 1px solid var(--line); } th { font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
code, .id { font-family: ui-monospace, "Liberation Mono", monospace; font-size: .82rem; overflow-wrap: anywhere; }
td.id { min-width: 10rem; }
details summary { cursor: pointer; color: var(--soft); font-size: .92rem; margin: .5rem 0; }
@media (max-width: 560px) { main { padding: 1rem .75rem 2rem; } section { padding: .9rem; } svg text { font-size: 17px; }
  svg .number { font-size: 16px; } }
@media print { :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  main { max-width: none; padding: 0; }
  section { break-inside: avoid; border: 0; border-top: 1px solid #bbb; border-radius: 0; padding: 1rem 0; }
  * { print-color-adjust: exact; } }
"""
